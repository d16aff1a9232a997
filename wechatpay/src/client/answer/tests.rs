use super::*;
use crate::testing::headers;
use crate::trust::VerifyError;

use Signed::{Badly, No, Partly, Well};

const ERROR: &str = r#"{"code":"SOME_CODE","message":"文本","detail":{"value":"x"}}"#;
const HTML: &str = "<html>502 Bad Gateway</html>";

/// How the answer is signed, and what verification then says.
#[derive(Clone, Copy, Debug)]
enum Signed {
    No,
    Well,
    Badly,
    /// Some headers were lost on the way.
    Partly,
}

#[test]
fn an_answer_is_classed_by_status_signature_and_body() {
    let check = |status: u16, signed: Signed, body: &str, expected: &str| {
        let all = [
            ("Wechatpay-Timestamp", "1"),
            ("Wechatpay-Nonce", "n"),
            ("Wechatpay-Signature", "s"),
            ("Wechatpay-Serial", "k"),
        ];
        let headers = match signed {
            No => headers(&[]),
            Partly => headers(&all[..3]),
            Well | Badly => headers(&all),
        };
        let body = body.as_bytes().to_vec();
        let result = Answer { status, headers, body }.judge(|_, _| match signed {
            Badly => Err(Cause::Unverified(VerifyError::BadSignature).into()),
            _ => Ok(()),
        });
        let seen = match &result {
            Ok(_) => "ok",
            Err(error) => error.reason(),
        };
        assert_eq!(seen, expected, "{status} {signed:?}");
        if let Err(Error::Definite(said) | Error::Refused(said)) = result {
            assert_eq!(said.verified, matches!(signed, Well));
            assert_eq!((said.status, said.earlier_unanswered), (status, false));
        }
    };
    check(200, Well, r#"{"prepay_id":"wx"}"#, "ok");
    check(204, Well, "", "ok");
    check(200, Well, r#"{"code":""}"#, "ok");
    check(200, Well, ERROR, "error_in_success");
    check(202, Well, "", "accepted_only");
    check(202, Well, ERROR, "accepted_only");
    check(200, No, "{}", "missing");
    check(200, Partly, "{}", "missing");
    check(200, Badly, "{}", "bad_signature");
    check(204, Badly, "", "bad_signature");

    for status in [400, 401, 403, 404, 405] {
        check(status, No, ERROR, "definite");
        check(status, Well, ERROR, "definite");
        check(status, Badly, ERROR, "bad_signature");
        check(status, Partly, ERROR, "missing");
        check(status, No, HTML, "unreadable");
        check(status, No, "", "unreadable");
    }
    check(408, No, ERROR, "unreadable");
    check(429, No, ERROR, "refused");
    check(429, Well, ERROR, "refused");
    check(429, No, HTML, "refused");
    check(429, Badly, ERROR, "bad_signature");

    for status in [500, 502, 503] {
        check(status, No, ERROR, "refused");
        check(status, Well, ERROR, "refused");
        check(status, Badly, ERROR, "bad_signature");
        check(status, No, HTML, "unreadable");
        check(status, No, "", "unreadable");
        check(status, No, r#"{"message":"no code"}"#, "unreadable");
        check(status, No, r#"{"code":7}"#, "unreadable");
    }
    check(302, No, "", "unreadable");
}

#[test]
fn an_error_keeps_wechats_words_at_a_bearable_length() {
    let body = format!(r#"{{"code":"{}","message":"{}"}}"#, "C".repeat(100), "长".repeat(1000));
    let answer = Answer {
        status: 400,
        headers: headers(&[("Request-ID", "08F78BB5AF0610D302-268435461")]),
        body: body.into_bytes(),
    };
    let Err(Error::Definite(said)) = answer.judge(|_, _| Ok(())) else {
        panic!("a definite error");
    };
    assert_eq!(said.code.len(), 64);
    assert_eq!(said.message.chars().count(), 512);
    assert_eq!(said.request_id.as_deref(), Some("08F78BB5AF0610D302-268435461"));
}
