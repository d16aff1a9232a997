use super::*;

fn order() -> Order {
    Order {
        app_id: "wxd678efh567hg6787".to_owned(),
        mchid: "1900000001".to_owned(),
        description: "Image形象店-深圳\"腾大\"".to_owned(),
        out_trade_no: "1217752501201407033233368018".to_owned(),
        time_expire: None,
        attach: None,
        notify_url: "https://shop.example/v1/wechat/notifications/m1".to_owned(),
        goods_tag: None,
        amount_fen: 100,
        payer_client_ip: None,
    }
}

#[test]
fn the_body_is_these_bytes() {
    let native = NativeOrder { order: order() };
    assert_eq!(
        native.to_body(),
        concat!(
            r#"{"appid":"wxd678efh567hg6787","mchid":"1900000001","description":"Image形象店-深圳\"腾大\"","#,
            r#""out_trade_no":"1217752501201407033233368018","notify_url":"https://shop.example/v1/wechat/notifications/m1","#,
            r#""amount":{"total":100,"currency":"CNY"}}"#,
        ),
    );
    let jsapi = JsapiOrder {
        order: Order {
            time_expire: Some("2024-08-05T23:59:59.999Z".parse().unwrap()),
            attach: Some("a".to_owned()),
            goods_tag: Some("WXG".to_owned()),
            amount_fen: i64::MAX,
            payer_client_ip: Some("2001:db8::1".to_owned()),
            ..order()
        },
        openid: Openid("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o".to_owned()),
    };
    assert_eq!(
        jsapi.to_body(),
        concat!(
            r#"{"appid":"wxd678efh567hg6787","mchid":"1900000001","description":"Image形象店-深圳\"腾大\"","#,
            r#""out_trade_no":"1217752501201407033233368018","time_expire":"2024-08-06T07:59:59+08:00","attach":"a","#,
            r#""notify_url":"https://shop.example/v1/wechat/notifications/m1","goods_tag":"WXG","#,
            r#""amount":{"total":9223372036854775807,"currency":"CNY"},"payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},"#,
            r#""scene_info":{"payer_client_ip":"2001:db8::1"}}"#,
        ),
    );
    assert!(!format!("{jsapi:?}").contains("oUpF8"));
}

#[test]
fn text_has_characters_of_at_most_three_bytes() {
    let check = |text: &str, refused: Option<(usize, char)>| {
        let expected = refused.map(|(position, character)| TextRefusal { position, character });
        assert_eq!(text_is_acceptable(text).err(), expected, "{text}");
    };
    check("", None);
    check("咖啡 é \u{FFFF}", None);
    check("咖啡☕", None);
    check("咖啡🍵", Some((2, '🍵')));
    check("𠮷野家", Some((0, '𠮷')));
}

#[test]
fn a_number_has_6_to_32_of_few_characters() {
    let check = |number: &str, refused: Option<OutTradeNoRefusal>| {
        assert_eq!(out_trade_no_is_acceptable(number).err(), refused, "{number}");
    };
    let length = |length| Some(OutTradeNoRefusal::Length { length });
    let wrong = |position, character| Some(OutTradeNoRefusal::Character { position, character });
    check("aZ09_-", None);
    check("a|b*c_d", None);
    check(&"1".repeat(32), None);
    check("", length(0));
    check("12345", length(5));
    check(&"1".repeat(33), length(33));
    check("../../close", wrong(0, '.'));
    check("1234 5", wrong(4, ' '));
    check("订单1234", wrong(0, '订'));
}
