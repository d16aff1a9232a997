use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const SECRET: &str = "d41d8cd98f00b204e9800998ecf8427e";
const TOKEN: &str = r#"{"access_token":"TOKEN-1","expires_in":7200}"#;
const NEXT_TOKEN: &str = r#"{"access_token":"TOKEN-2","expires_in":7200}"#;
const TAKEN: &str = r#"{"errcode":0,"errmsg":"ok"}"#;

fn app() -> App {
    App { app_id: "wxd678efh567hg6787".to_owned(), secret: SECRET.into() }
}

/// Gives these answers, one a connection, and tells what it was asked: the path with its query.
async fn answering(bodies: Vec<&'static str>) -> (ShippingClient, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ShippingClient::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        for body in bodies {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let ends = |request: &[u8]| {
                let text = String::from_utf8_lossy(request).to_lowercase();
                let (head, body) = text.split_once("\r\n\r\n").map(|(h, b)| (h.to_owned(), b.len()))?;
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
                (body >= length.parse().unwrap()).then_some(())
            };
            while ends(&request).is_none() {
                assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
            }
            let length = body.len();
            let answer =
                format!("HTTP/1.1 200 S\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
            connection.write_all(answer.as_bytes()).await.unwrap();
            let request = String::from_utf8(request).unwrap();
            heard.push(request.split(' ').nth(1).unwrap().to_owned());
        }
        heard
    });
    (client, heard)
}

fn told(token: &str) -> String {
    format!("/wxa/sec/order/upload_shipping_info?access_token={token}")
}

#[test]
fn the_bodies_are_these_bytes() {
    let with = |way: Way| {
        let shipping = Shipping {
            transaction_id: "4200001".to_owned(),
            openid: Openid("oUpF8u".to_owned()),
            way,
            item_desc: "一壶龙井".to_owned(),
            upload_time: "2026-11-22T12:00:00.000+08:00".to_owned(),
        };
        shipping.to_body()
    };
    let express = |contact: Option<&str>| Way::Express {
        company: "SF".to_owned(),
        tracking_no: "SF1".to_owned(),
        receiver_contact: contact.map(str::to_owned),
    };
    let around = |kind: u8, parcel: &str| {
        format!(
            r#"{{"order_key":{{"order_number_type":2,"transaction_id":"4200001"}},"logistics_type":{kind},"delivery_mode":1,"shipping_list":[{{{parcel}}}],"upload_time":"2026-11-22T12:00:00.000+08:00","payer":{{"openid":"oUpF8u"}}}}"#
        )
    };
    let sf = r#""tracking_no":"SF1","express_company":"SF","item_desc":"一壶龙井""#;
    assert_eq!(with(express(None)), around(1, sf));
    let contact = r#","contact":{"receiver_contact":"189****1234"}"#;
    assert_eq!(with(express(Some("189****1234"))), around(1, &format!("{sf}{contact}")));
    for (way, kind) in [(Way::SameCity, 2), (Way::Virtual, 3), (Way::PickUp, 4)] {
        assert_eq!(with(way), around(kind, r#""item_desc":"一壶龙井""#));
    }
}

#[tokio::test]
async fn one_token_serves_until_wechat_refuses_it() {
    let refused = r#"{"errcode":42001,"errmsg":"access_token expired rid: 1-2"}"#;
    let (client, heard) = answering(vec![TOKEN, TAKEN, TAKEN, refused, NEXT_TOKEN, TAKEN]).await;
    client.upload(&app(), "{}").await.unwrap();
    client.clone().upload(&app(), "{}").await.unwrap();
    let error = client.upload(&app(), "{}").await.unwrap_err();
    assert!(matches!(error, ShippingError::TokenRefused(_)), "{error}");
    client.upload(&app(), "{}").await.unwrap();
    let asked = "/cgi-bin/stable_token".to_owned();
    assert_eq!(
        heard.await.unwrap(),
        [asked.clone(), told("TOKEN-1"), told("TOKEN-1"), told("TOKEN-1"), asked, told("TOKEN-2")]
    );
}

#[tokio::test]
async fn many_who_want_a_token_ask_for_one() {
    let (client, heard) = answering(vec![TOKEN, TAKEN, TAKEN, TAKEN]).await;
    let app = app();
    let (a, b, c) =
        tokio::join!(client.upload(&app, "{}"), client.upload(&app, "{}"), client.upload(&app, "{}"));
    assert_eq!((a, b, c), (Ok(()), Ok(()), Ok(())));
    let heard = heard.await.unwrap();
    assert_eq!(heard.iter().filter(|path| path.contains("stable_token")).count(), 1);
}

#[tokio::test]
async fn an_answer_is_classed_by_its_errcode() {
    for (body, class) in [
        (r#"{"errcode":-1,"errmsg":"system error"}"#, "busy"),
        (r#"{"errcode":45009,"errmsg":"reach max api daily quota limit"}"#, "busy"),
        (r#"{"errcode":40001,"errmsg":"invalid credential"}"#, "token_refused"),
        (r#"{"errcode":10060001,"errmsg":"支付单不存在"}"#, "refused"),
        ("{}", "unknown"),
        ("<html>", "unknown"),
    ] {
        let (client, _heard) = answering(vec![TOKEN, body]).await;
        let error = client.upload(&app(), "{}").await.unwrap_err();
        assert_eq!(error.reason(), class, "{body}");
        assert_eq!(error.is_payment_unknown(), body.contains("10060001"));
        assert!(!error.is_known_already());
    }
    for (body, class) in [
        (r#"{"errcode":40125,"errmsg":"invalid appsecret"}"#, "no_token"),
        (r#"{"errcode":-1,"errmsg":"system error"}"#, "no_token"),
        ("{}", "not_sent"),
    ] {
        let (client, _heard) = answering(vec![body]).await;
        assert_eq!(client.upload(&app(), "{}").await.unwrap_err().reason(), class, "{body}");
    }
}

#[tokio::test]
async fn no_error_tells_the_secret_or_the_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = ShippingClient::new(&nobody).unwrap();
    let error = client.upload(&app(), "{}").await.unwrap_err();
    assert!(matches!(error, ShippingError::NotSent { .. }), "{error}");
    assert!(!format!("{error} {error:?} {client:?}").contains(SECRET));

    let (client, heard) = answering(vec![TOKEN]).await;
    let error = client.upload(&app(), "{}").await.unwrap_err();
    heard.await.unwrap();
    assert!(matches!(error, ShippingError::NotSent { .. } | ShippingError::Unknown { .. }), "{error}");
    assert!(!format!("{error} {error:?} {client:?}").contains("TOKEN-1"));
}
