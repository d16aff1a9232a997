use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const HEADER: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,\
付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,\
商户数据包,手续费,费率,订单金额,申请退款金额,费率备注";
const PAID: &str = "`2024-08-05 17:33:41,`wxd678efh567hg6787,`1900000001,`0,`,`4200002389202408050000000001,`ORDER-0001,\
`oUpF8uMuAJO_M2pxb1Q9zNjWeS6o,`JSAPI,`SUCCESS,`OTHERS,`CNY,`39.90,`0.00,`0,`0,`0.00,`0.00,`,`,`一壶\\ 龙井,`table 5,`0.23940,\
`0.60%,`39.90,`0.00,`";
const REFUNDED: &str = "`2024-08-05 18:00:00,`wxd678efh567hg6787,`1900000001,`0,`,`4200002389202408050000000001,`ORDER-0001,\
`oUpF8uMuAJO_M2pxb1Q9zNjWeS6o,`JSAPI,`REFUND,`OTHERS,`CNY,`0.00,`0.00,`50300309392024080500000000001,`ORDER-0001-1,`10.05,\
`0.00,`ORIGINAL,`PROCESSING,`一壶\\ 龙井,`table 5,`-0.06030,`0.60%,`0.00,`10.05,`";
const SUMS: &str =
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";
const SUMMARY: &str = "`2.0,`39.90,`10.05,`0.00,`0.17910,`39.90,`10.05";

fn file(lines: &[&str]) -> Vec<u8> {
    let mut file = b"\xEF\xBB\xBF".to_vec();
    for line in lines {
        file.extend_from_slice(line.as_bytes());
        file.extend_from_slice(b"\r\n");
    }
    file
}

#[test]
fn payments_refunds_and_sums_are_read_by_the_names_of_their_columns() {
    let bill = TradeBill::parse(&file(&[HEADER, PAID, REFUNDED, SUMS, SUMMARY])).unwrap();
    let payment = BillRow {
        at: 1_722_850_421,
        appid: "wxd678efh567hg6787".to_owned(),
        mchid: "1900000001".to_owned(),
        transaction_id: "4200002389202408050000000001".to_owned(),
        out_trade_no: "ORDER-0001".to_owned(),
        trade_type: "JSAPI".to_owned(),
        trade_state: "SUCCESS".to_owned(),
        currency: "CNY".to_owned(),
        total_fen: 3990,
        settlement_fen: 3990,
        attach: "table 5".to_owned(),
        fee_e5_yuan: 23_940,
        refund: None,
    };
    let refund = BillRow {
        at: 1_722_852_000,
        trade_state: "REFUND".to_owned(),
        total_fen: 0,
        settlement_fen: 0,
        fee_e5_yuan: -6030,
        refund: Some(BilledRefund {
            refund_id: "50300309392024080500000000001".to_owned(),
            out_refund_no: "ORDER-0001-1".to_owned(),
            refund_fen: 1005,
            asked_fen: 1005,
            status: "PROCESSING".to_owned(),
        }),
        ..payment.clone()
    };
    let summary =
        BillSummary { count: 2, total_fen: 3990, asked_refund_fen: Some(1005), fee_e5_yuan: 17_910 };
    assert_eq!(bill, TradeBill { rows: vec![payment, refund], summary });
}

/// Columns may come, go and change places.
#[test]
fn other_columns_do_not_matter() {
    let bill = TradeBill::parse(&file(&[
        "新列,订单金额,手续费,商户数据包,应结订单金额,货币种类,交易状态,交易类型,商户订单号,微信订单号,商户号,公众账号ID,交易时间",
        "`x,`0.01,`0.00000,`,`0.01,`CNY,`SUCCESS,`FACE,`ORDER-0002,`42,`1900000001,`wx1,`2024-08-05 00:00:00",
        "总交易单数,手续费总金额,订单总金额",
        "`1,`0.00000,`0.01",
    ]))
    .unwrap();
    assert_eq!((bill.rows[0].total_fen, bill.rows[0].trade_type.as_str()), (1, "FACE"));
    assert_eq!(bill.rows[0].refund, None);
    assert_eq!((bill.summary.count, bill.summary.asked_refund_fen), (1, None));
}

#[test]
fn a_bill_that_makes_no_sense_says_where() {
    let check = |lines: &[&str], expected: BillError| {
        assert_eq!(TradeBill::parse(&file(lines)), Err(expected), "{lines:?}");
    };
    let odd = |line, column| BillError::Odd { line, column };
    check(&[], BillError::NoSummary);
    check(&[HEADER, PAID, REFUNDED], BillError::NoSummary);
    check(&[HEADER, PAID, REFUNDED, SUMS], BillError::NoSummary);
    check(&[HEADER, PAID, SUMS, SUMMARY], BillError::CountDiffers { told: 2, found: 1 });
    let short = PAID.rsplit_once(',').unwrap().0;
    check(&[HEADER, PAID, short], BillError::CellCount { line: 3, found: 26, columns: 27 });
    let nameless = HEADER.replace("商户订单号", "订单号");
    check(&[&nameless, PAID], BillError::NoColumn { line: 2, column: "商户订单号" });
    check(&[HEADER, &PAID.replace("`39.90,`0.00,`0,", "`39.905,`0.00,`0,")], odd(2, "应结订单金额"));
    check(&[HEADER, &PAID.replace("2024-08-05", "2024-08-32")], odd(2, "交易时间"));
    check(&[HEADER, &REFUNDED.replace("`0.00,`10.05,`", "`0.00,`ten,`")], odd(2, "申请退款金额"));
    check(&[HEADER, PAID, REFUNDED, SUMS, &SUMMARY.replace("2.0", "-2")], odd(5, "总交易单数"));
    assert_eq!(TradeBill::parse(&[0xff, 0xfe]), Err(BillError::NotText));
}

#[test]
fn amounts_are_exact() {
    let check = |text: &str, decimals: usize, expected: Option<i64>| {
        assert_eq!(scaled(text, decimals), expected, "{text}");
    };
    check("0.00", 2, Some(0));
    check("0.01", 2, Some(1));
    check("0.1", 2, Some(10));
    check("1", 2, Some(100));
    check("1.10", 2, Some(110));
    check("-10.05", 2, Some(-1005));
    check("-0.01", 2, Some(-1));
    check("90071992547409.93", 2, Some(9_007_199_254_740_993));
    check("92233720368547758.07", 2, Some(i64::MAX));
    check("92233720368547758.08", 2, None);
    check("1.50000", 2, Some(150));
    check("1.505", 2, None);
    check("0.00600", 5, Some(600));
    check("45.0", 0, Some(45));
    check("45.5", 0, None);
    for odd in ["", "-", ".", "1.", ".5", "1.2.3", "1e3", "+1", "--1", " 1", "1,000.00", "一"] {
        check(odd, 2, None);
    }
}

/// SHA-1 of the plain text, checked with sha1sum.
#[test]
fn a_download_is_what_was_promised_or_nothing() {
    let plain = "\u{feff}交易时间\r\n".as_bytes().to_vec();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain).unwrap();
    let zipped = encoder.finish().unwrap();
    let promised = |hash_value: &str| BillFile {
        hash_type: "SHA1".to_owned(),
        hash_value: hash_value.to_owned(),
        download_url: String::new(),
    };
    let of_plain = promised("326ed0ecb149e2f8f20ffc578f7ffc6799671a9d");
    let of_zipped = promised(&hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &zipped)));
    let upper = promised(&of_plain.hash_value.to_uppercase());
    let opened = |file: &BillFile, sent: &[u8], most: usize| file.opened(sent.to_vec(), most);

    assert_eq!(opened(&of_plain, &plain, 100), Ok(plain.clone()));
    assert_eq!(opened(&of_plain, &zipped, 100), Ok(plain.clone()));
    assert_eq!(opened(&of_zipped, &zipped, 100), Ok(plain.clone()));
    assert_eq!(opened(&upper, &plain, 100), Ok(plain.clone()));
    assert_eq!(opened(&of_zipped, &plain, 100), Err(Cause::HashDiffers));
    assert_eq!(opened(&of_plain, &plain[1..], 100), Err(Cause::HashDiffers));
    assert_eq!(opened(&of_plain, &zipped[..zipped.len() - 9], 100), Err(Cause::HashDiffers));
    assert_eq!(opened(&of_plain, &zipped, plain.len() - 1), Err(Cause::Unusable));
    let other = BillFile { hash_type: "SHA256".to_owned(), ..of_plain };
    assert_eq!(opened(&other, &plain, 100), Err(Cause::Unusable));
}

#[test]
fn the_question_is_these_bytes() {
    let date = civil::date(2024, 8, 5);
    let request = |kind, is_compressed| BillRequest { date, kind, is_compressed }.target();
    assert_eq!(request(BillKind::All, false), "/v3/bill/tradebill?bill_date=2024-08-05&bill_type=ALL");
    assert_eq!(
        request(BillKind::Refund, true),
        "/v3/bill/tradebill?bill_date=2024-08-05&bill_type=REFUND&tar_type=GZIP"
    );
    assert_eq!(
        request(BillKind::Success, false),
        "/v3/bill/tradebill?bill_date=2024-08-05&bill_type=SUCCESS"
    );
}
