use super::*;

fn said(status: u16, code: &str) -> ApiError {
    ApiError {
        status,
        code: code.to_owned(),
        message: "openid oUpF8 不匹配".to_owned(),
        verified: true,
        request_id: None,
        earlier_unanswered: false,
    }
}

#[test]
fn codes_are_read_with_and_without_underscores() {
    let check = |status: u16, code: &str, expected: (bool, bool, bool)| {
        let said = said(status, code);
        let read = (said.is_order_not_found(), said.says_paid_used_or_closed(), said.is_authentication());
        assert_eq!(read, expected, "{code}");
    };
    check(404, "ORDER_NOT_EXIST", (true, false, false));
    check(404, "ORDERNOTEXIST", (true, false, false));
    check(404, "RESOURCE_NOT_EXISTS", (false, false, false));
    for code in ["ORDER_PAID", "ORDERPAID", "OUT_TRADE_NO_USED", "ORDER_CLOSED", "ORDERCLOSED"] {
        check(400, code, (false, true, false));
    }
    check(400, "INVALID_REQUEST", (false, false, false));
    check(401, "SIGN_ERROR", (false, false, true));
    check(401, "", (false, false, true));
    check(403, "NO_AUTH", (false, false, false));
    check(400, "PARAM_ERROR", (false, false, false));
}

#[test]
fn codes_of_refunds_and_bills_are_told_apart() {
    let check = |status: u16, code: &str, expected: [bool; 4]| {
        let said = said(status, code);
        let read = [
            said.is_resource_not_found(),
            said.is_balance_short(),
            said.is_bill_empty(),
            said.is_bill_late(),
        ];
        assert_eq!(read, expected, "{code}");
    };
    check(404, "RESOURCE_NOT_EXISTS", [true, false, false, false]);
    check(403, "NOT_ENOUGH", [false, true, false, false]);
    check(403, "NOTENOUGH", [false, true, false, false]);
    check(400, "NO_STATEMENT_EXIST", [false, false, true, false]);
    check(400, "STATEMENT_CREATING", [false, false, false, true]);
    check(404, "ORDER_NOT_EXIST", [false; 4]);
}

#[test]
fn a_second_try_does_not_undo_the_first() {
    let lost = Error::from(Cause::TimedOut);
    let not_delivered = Error::NotDelivered { cause: "refused".to_owned() };
    let unanswered = |status, code| ApiError { earlier_unanswered: true, ..said(status, code) };
    let check = |first: &Error, second: &Error, expected: &Error| {
        assert_eq!(&first.clone().followed_by(second.clone()), expected);
    };
    check(&lost, &not_delivered, &lost);
    check(&lost, &Error::from(Cause::AcceptedOnly), &Error::from(Cause::AcceptedOnly));
    check(
        &lost,
        &Error::Definite(said(403, "OUT_TRADE_NO_USED")),
        &Error::Definite(unanswered(403, "OUT_TRADE_NO_USED")),
    );
    check(
        &lost,
        &Error::Refused(said(429, "FREQUENCY_LIMITED")),
        &Error::from(Cause::RefusedAfterUnanswered(unanswered(429, "FREQUENCY_LIMITED"))),
    );
    for second in [
        not_delivered.clone(),
        lost.clone(),
        Error::Refused(said(500, "SYSTEM_ERROR")),
        Error::Definite(said(400, "PARAM_ERROR")),
    ] {
        check(&not_delivered, &second, &second);
    }
}

#[test]
fn an_error_says_what_can_be_done_and_nothing_private() {
    let check = |error: Error, reason: &str, is_transient: bool| {
        assert_eq!((error.reason(), error.is_transient()), (reason, is_transient));
        assert!(!error.to_string().contains("oUpF8"), "{error}");
    };
    check(Error::Unsendable { cause: String::new() }, "unsendable", false);
    check(Error::NotDelivered { cause: String::new() }, "not_delivered", true);
    check(Error::Refused(said(429, "")), "refused", true);
    check(Error::Definite(said(400, "PARAM_ERROR")), "definite", false);
    check(Cause::TimedOut.into(), "timed_out", true);
    check(Cause::Unverified(VerifyError::Probe).into(), "probe", true);
    check(Cause::PerhapsTaken(said(429, "FREQUENCY_LIMITED")).into(), "perhaps_taken", true);
    check(Cause::HashDiffers.into(), "hash_differs", true);
    check(Cause::ErrorInSuccess(said(200, "SYSTEM_ERROR")).into(), "error_in_success", true);
}
