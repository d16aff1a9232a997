use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::api_host::judge;

const SECRET: &str = "d41d8cd98f00b204e9800998ecf8427e";

fn app() -> App {
    App { app_id: "wxd678efh567hg6787".to_owned(), secret: SECRET.into() }
}

/// Answers one request and tells its first line.
async fn answering(status: u16, body: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|four| four == b"\r\n\r\n") {
            assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
        }
        let answer = format!(
            "HTTP/1.1 {status} S\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap().lines().next().unwrap().to_owned()
    });
    (url, heard)
}

#[tokio::test]
async fn a_page_learns_its_payer() {
    let (url, heard) = answering(
        200,
        r#"{"access_token":"ACCESS","expires_in":7200,"refresh_token":"R","openid":"oUpF8u","scope":"snsapi_base"}"#,
    )
    .await;
    let client = OpenidClient::new(&url).unwrap();
    let found = client.web_authorization(&app(), "0a&b=c").await.unwrap();
    assert_eq!((found.openid.0.as_str(), found.scope.as_deref()), ("oUpF8u", Some("snsapi_base")));
    assert!(!found.is_snapshot());
    assert!(!format!("{found:?}").contains("oUpF8u"));
    assert_eq!(
        heard.await.unwrap(),
        format!(
            "GET /sns/oauth2/access_token?appid=wxd678efh567hg6787&secret={SECRET}&code=0a%26b%3Dc\
             &grant_type=authorization_code HTTP/1.1"
        )
    );
}

#[tokio::test]
async fn a_mini_program_learns_its_payer() {
    let body = r#"{"openid":"oUpF8u","session_key":"tiihtNczf5v6AKRyjwEUhQ==","unionid":"u","errcode":0}"#;
    let (url, heard) = answering(200, body).await;
    let client = OpenidClient::new(&url).unwrap();
    let found = client.mini_program_session(&app(), "033abc").await.unwrap();
    assert_eq!((found.openid.0.as_str(), found.unionid.as_deref()), ("oUpF8u", Some("u")));
    assert_eq!(found.session_key.expose_secret(), "tiihtNczf5v6AKRyjwEUhQ==");
    assert!(!format!("{found:?} {client:?} {:?}", app()).contains("tiiht"));
    assert_eq!(
        heard.await.unwrap(),
        format!(
            "GET /sns/jscode2session?appid=wxd678efh567hg6787&secret={SECRET}&js_code=033abc\
             &grant_type=authorization_code HTTP/1.1"
        )
    );
}

#[test]
fn an_answer_is_classed_by_its_errcode_and_not_by_its_status() {
    let check = |status: u16, body: &str, expected: &str| {
        let seen = match judge::<WebAuthorization>(status, body.as_bytes()).map_err(OpenidError::from) {
            Ok(found) if found.is_snapshot() => "snapshot".to_owned(),
            Ok(_) => "ok".to_owned(),
            Err(OpenidError::NotDelivered { .. }) => "not delivered".to_owned(),
            Err(OpenidError::Unknown { .. }) => "unknown".to_owned(),
            Err(OpenidError::Refused(said)) => format!("refused {}", said.code),
            Err(OpenidError::Definite(said)) if said.is_code_spent() => format!("spent {}", said.code),
            Err(OpenidError::Definite(said)) if said.is_configuration() => format!("operator {}", said.code),
            Err(OpenidError::Definite(said)) => format!("definite {}", said.code),
        };
        assert_eq!(seen, expected, "{body}");
    };
    check(200, r#"{"openid":"o","scope":"snsapi_base"}"#, "ok");
    check(200, r#"{"openid":"o","is_snapshotuser":1,"errcode":0,"errmsg":"ok"}"#, "snapshot");
    check(200, r#"{"errcode":-1,"errmsg":"system error"}"#, "refused -1");
    check(200, r#"{"errcode":45011,"errmsg":"api minute-quota reach limit"}"#, "refused 45011");
    check(200, r#"{"errcode":40029,"errmsg":"invalid code, rid: 1-2-3"}"#, "spent 40029");
    check(200, r#"{"errcode":40163,"errmsg":"code been used"}"#, "spent 40163");
    check(200, r#"{"errcode":40013,"errmsg":"invalid appid"}"#, "operator 40013");
    check(200, r#"{"errcode":40125,"errmsg":"invalid appsecret"}"#, "operator 40125");
    check(200, r#"{"errcode":40226,"errmsg":"code blocked"}"#, "definite 40226");
    check(200, "{}", "unknown");
    check(200, "", "unknown");
    check(200, "<html>", "unknown");
    check(502, r#"{"openid":"o"}"#, "unknown");
}

#[tokio::test]
async fn no_error_tells_the_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = OpenidClient::new(&nobody).unwrap().web_authorization(&app(), "c").await.unwrap_err();
    assert!(matches!(error, OpenidError::NotDelivered { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains(SECRET));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cut = format!("http://{}", listener.local_addr().unwrap());
    let hangs_up = tokio::spawn(async move { drop(listener.accept().await) });
    let error = OpenidClient::new(&cut).unwrap().web_authorization(&app(), "c").await.unwrap_err();
    hangs_up.await.unwrap();
    assert!(matches!(error, OpenidError::Unknown { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains(SECRET));
    assert!(!format!("{:?}", app()).contains(SECRET));
}

#[test]
fn the_way_to_the_authorisation_is_these_bytes() {
    assert_eq!(
        authorize_url(
            "https://open.weixin.qq.com",
            "wxd678efh567hg6787",
            "https://shop.example/back?to=1",
            Scope::Base,
            "aB3"
        ),
        "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wxd678efh567hg6787\
         &redirect_uri=https%3A%2F%2Fshop.example%2Fback%3Fto%3D1&response_type=code\
         &scope=snsapi_base&state=aB3#wechat_redirect"
    );
    let asks = authorize_url("http://127.0.0.1:1/", "wx1", "r", Scope::UserInfo, "s");
    assert!(asks.starts_with("http://127.0.0.1:1/connect/") && asks.contains("&scope=snsapi_userinfo&"));
}
