use super::*;

const GOOD: &str = r#"WECHATPAY2-SHA256-RSA2048 mchid="1900000001",nonce_str="n",signature="c2ln",timestamp="1789173000",serial_no="4A""#;

#[test]
fn pairs_may_come_in_any_order() {
    let straight = Authorization::parse(Some(GOOD)).unwrap();
    let (scheme, pairs) = GOOD.split_once(' ').unwrap();
    let mut pairs: Vec<_> = pairs.split(',').collect();
    pairs.reverse();
    let reversed = format!("{scheme} {}", pairs.join(","));
    assert_eq!(Authorization::parse(Some(&reversed)), Ok(straight));
}

#[test]
fn what_is_not_an_authorization() {
    let without = |part: &str| GOOD.replace(part, "");
    for (header, why) in [
        (None, Malformed::Missing),
        (Some(String::new()), Malformed::Scheme),
        (Some("Bearer abc".into()), Malformed::Scheme),
        (Some(GOOD.replace("RSA2048", "RSA4096")), Malformed::Scheme),
        (Some(GOOD.replace('"', "")), Malformed::Pairs),
        (Some(GOOD.replace("1789173000", "-1789173000")), Malformed::Pairs),
        (Some(GOOD.replace("1789173000", "9999999999999")), Malformed::Pairs),
        (Some(without(r#"mchid="1900000001","#)), Malformed::Pairs),
        (Some(without(r#",serial_no="4A""#)), Malformed::Pairs),
        (Some(GOOD.replace(r#""n""#, r#""""#)), Malformed::Pairs),
        (Some(format!(r#"{GOOD},mchid="1900000001""#)), Malformed::Pairs),
        (Some(format!(r#"{GOOD},extra="1""#)), Malformed::Pairs),
    ] {
        assert_eq!(Authorization::parse(header.as_deref()), Err(why), "{header:?}");
    }
}

#[test]
fn five_minutes_either_way_are_fresh() {
    let read = Authorization::parse(Some(GOOD)).unwrap();
    let at = 1_789_173_000_000;
    for (now, fresh) in [
        (at, true),
        (at + 300_999, true),
        (at + 301_000, false),
        (at - 300_000, true),
        (at - 300_001, false),
        (i64::MIN, false),
    ] {
        assert_eq!(read.is_fresh(now), fresh, "{now}");
    }
}

#[test]
fn the_message_ends_with_an_empty_line_when_there_is_no_body() {
    let read = Authorization::parse(Some(GOOD)).unwrap();
    assert_eq!(
        read.message("GET", "/v3/certificates?a=%7C", b""),
        b"GET\n/v3/certificates?a=%7C\n1789173000\nn\n\n"
    );
}
