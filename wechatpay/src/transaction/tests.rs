use super::*;

#[test]
fn every_state_is_read_written_and_paid_or_not() {
    let check = |word: &str, state: TradeState, is_paid: bool| {
        let json = format!("\"{word}\"");
        assert_eq!(serde_json::from_str::<TradeState>(&json).unwrap(), state);
        assert_eq!(serde_json::to_string(&state).unwrap(), json);
        assert_eq!(state.is_paid(), is_paid, "{word}");
    };
    check("SUCCESS", TradeState::Success, true);
    check("REFUND", TradeState::Refund, true);
    check("NOTPAY", TradeState::NotPay, false);
    check("CLOSED", TradeState::Closed, false);
    check("REVOKED", TradeState::Revoked, false);
    check("USERPAYING", TradeState::UserPaying, false);
    check("PAYERROR", TradeState::PayError, false);
    check("ACCEPT", TradeState::Accept, false);
    check("PAY_FAIL", TradeState::PayFail, false);
    check("SOMETHING_NEW", TradeState::Other("SOMETHING_NEW".to_owned()), false);
}

#[test]
fn a_payment_is_read_in_full_and_hides_its_payer() {
    let found: Transaction = serde_json::from_str(
        r#"{"transaction_id":"1217752501201407033233368018","amount":{"payer_total":90,"total":100,"currency":"CNY",
        "payer_currency":"CNY"},"mchid":"1230000109","trade_state":"SUCCESS","bank_type":"CMC",
        "promotion_detail":[{"coupon_id":"109519","amount":10}],"success_time":"2018-06-08T10:34:56+08:00",
        "payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},"out_trade_no":"1217752501201407033233368018",
        "appid":"wxd678efh567hg6787","trade_state_desc":"支付成功","trade_type":"MICROPAY","attach":"自定义数据",
        "scene_info":{"device_id":"013467007045764"},"installment_info":{"use_subsidy":true}}"#,
    )
    .unwrap();
    assert!(found.is_paid());
    assert_eq!(found.amount.as_ref().unwrap().total, Some(100));
    assert_eq!(found.amount.as_ref().unwrap().payer_total, Some(90));
    assert_eq!(found.paid_at(), Some(1_528_425_296));
    assert_eq!(found.payer.as_ref().unwrap().openid.as_ref().unwrap().0, "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o");
    assert!(!format!("{found:?}").contains("oUpF8"));
    let written = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Transaction>(&written).unwrap(), found);
}

#[test]
fn an_unpaid_order_may_say_nearly_nothing() {
    let check = |json: &str, expected: Option<TradeState>| {
        let found = serde_json::from_str::<Transaction>(json).ok();
        assert_eq!(found.as_ref().map(|found| &found.trade_state), expected.as_ref(), "{json}");
        if let Some(found) = found {
            assert_eq!(
                (found.transaction_id.clone(), found.amount.clone(), found.paid_at()),
                (None, None, None)
            );
        }
    };
    check(r#"{"trade_state":"NOTPAY"}"#, Some(TradeState::NotPay));
    check(
        r#"{"trade_state":"NOTPAY","transaction_id":"","success_time":"","payer":{},"amount":null}"#,
        Some(TradeState::NotPay),
    );
    check(r#"{"trade_state":"CLOSED","payer":null,"success_time":"yesterday"}"#, Some(TradeState::Closed));
    check(r#"{"out_trade_no":"1"}"#, None);
    check("", None);
}
