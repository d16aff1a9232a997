use super::*;

fn order() -> Value {
    json!({
        "appid": "wx0000000000000001",
        "mchid": "1900000001",
        "description": "一杯茶",
        "out_trade_no": "ORDER_-|*1",
        "notify_url": "http://127.0.0.1:8700/notify",
        "amount": {"total": 1},
        "payer": {"openid": "oPayer"},
    })
}

fn mistake(body: &Value) -> Option<(String, String)> {
    let object = read_object(body.to_string().as_bytes()).unwrap();
    let refusal = check(&object, &[NATIVE, JSAPI_ALSO]).err()?;
    assert_eq!((refusal.status.as_u16(), refusal.code), (400, "PARAM_ERROR"));
    let detail = refusal.detail.unwrap();
    Some((detail["field"].as_str()?.into(), detail["issue"].as_str()?.into()))
}

#[test]
fn a_full_order_is_accepted() {
    let mut body = order();
    body["time_expire"] = json!("2026-09-12T10:00:00+08:00");
    body["attach"] = json!("字".repeat(128));
    body["goods_tag"] = json!("TAG");
    body["limit_pay"] = json!(["no_credit"]);
    body["support_fapiao"] = json!(true);
    body["amount"]["currency"] = json!("CNY");
    body["detail"] = json!({"cost_price": 1, "goods_detail":
        [{"merchant_goods_id": "g1", "quantity": 1, "unit_price": 1}]});
    body["scene_info"] = json!({"payer_client_ip": "1.2.3.4", "store_info": {"id": "1"}});
    body["settle_info"] = json!({"profit_sharing": false});
    assert_eq!(mistake(&body), None);
}

#[test]
fn each_mistake_is_named_by_its_field() {
    let long = "x".repeat(256);
    for (pointer, value) in [
        ("/description", json!("")),
        ("/description", json!("字".repeat(128))),
        ("/description", json!("茶😀")),
        ("/description", json!(1)),
        ("/description", Value::Null),
        ("/attach", Value::Null),
        ("/attach", json!("x".repeat(129))),
        ("/out_trade_no", json!("12345")),
        ("/out_trade_no", json!("1".repeat(33))),
        ("/out_trade_no", json!("ORDER 1")),
        ("/out_trade_no", json!("ORDER@1")),
        ("/time_expire", json!("2026-09-12 10:00:00")),
        ("/notify_url", json!("/notify")),
        ("/notify_url", json!("https://shop.example")),
        ("/notify_url", json!("https://shop.example/n?a=1")),
        ("/notify_url", json!(" https://shop.example/n")),
        ("/notify_url", json!(format!("https://shop.example/{long}"))),
        ("/amount/total", json!(0)),
        ("/amount/total", json!(-1)),
        ("/amount/total", json!(1.5)),
        ("/amount/total", json!("1")),
        ("/amount/currency", json!("USD")),
        ("/amount/extra", json!(1)),
        ("/payer/openid", json!("")),
        ("/limit_pay", json!(["no_money"])),
        ("/support_fapiao", json!("true")),
        ("/detail/goods_detail", json!([])),
        ("/detail/goods_detail/0/quantity", json!(0)),
        ("/detail", json!({"invoice_id": "x".repeat(6144)})),
        ("/scene_info/payer_client_ip", json!(7)),
        ("/extra", json!("x")),
    ] {
        let mut body = order();
        body["detail"] = json!({"goods_detail":
            [{"merchant_goods_id": "g1", "quantity": 1, "unit_price": 1}]});
        body["scene_info"] = json!({"payer_client_ip": "1.2.3.4"});
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value.clone();
        let found = mistake(&body);
        assert_eq!(found.map(|(at, _)| at).as_deref(), Some(pointer), "{value}");
    }
}

#[test]
fn each_required_field_is_missed() {
    for pointer in [
        "/appid",
        "/mchid",
        "/description",
        "/out_trade_no",
        "/notify_url",
        "/amount",
        "/amount/total",
        "/payer",
        "/payer/openid",
    ] {
        let mut body = order();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        let found = mistake(&body);
        assert_eq!(found, Some((pointer.into(), "缺少必填参数".into())));
    }
}

#[test]
fn native_does_not_know_the_payer() {
    let object = read_object(order().to_string().as_bytes()).unwrap();
    let refusal = check(&object, &[NATIVE]).unwrap_err();
    assert_eq!(refusal.number, EXTRA);
}

#[test]
fn only_an_object_is_a_body() {
    for body in [&b""[..], b"[]", b"1", b"{", b"\xff{}"] {
        assert!(read_object(body).is_err(), "{body:?}");
    }
}
