use super::*;

/// One paid order with a refund that was closed and one that succeeded, one order that was closed,
/// and one that is open.
const BOOK: &str = "
INSERT INTO payment (mchid, out_trade_no, endpoint, body, total, created_at, payable_until, code,
    code_expires_at, state, closed_at, transaction_id, paid_at, openid, payer_total) VALUES
    ('m', 'PAID', 'native', '{}', 100, 1, 9, 'c1', 9, 'REFUND', NULL, 't1', 2, 'o', 100),
    ('m', 'WHOLE', 'native', '{}', 50, 1, 9, 'c2', 9, 'SUCCESS', NULL, 't2', 3, 'o', 50),
    ('m', 'CLOSED', 'native', '{}', 100, 1, 9, 'c3', 9, 'CLOSED', 2, NULL, NULL, NULL, NULL),
    ('m', 'OPEN', 'native', '{}', 100, 1, 9, 'c4', 9, 'NOTPAY', NULL, NULL, NULL, NULL, NULL);
INSERT INTO refund (mchid, out_refund_no, out_trade_no, refund_id, source, body, amount, created_at,
    state, settled_at) VALUES
    ('m', 'R1', 'PAID', 'r1', 'api', '{}', 60, 4, 'CLOSED', 5),
    ('m', 'R2', 'PAID', 'r2', 'console', '{}', 70, 6, 'SUCCESS', 7);
INSERT INTO entry (id, mchid, at, kind, out_trade_no, reference, amount, balance) VALUES
    (1, 'm', 2, 'payment', 'PAID', 't1', 100, 100),
    (2, 'm', 3, 'payment', 'WHOLE', 't2', 50, 150),
    (3, 'm', 4, 'refund', 'PAID', 'r1', -60, 90),
    (4, 'm', 5, 'refund_returned', 'PAID', 'r1', 60, 150),
    (5, 'm', 6, 'refund', 'PAID', 'r2', -70, 80),
    (6, 'm', 6, 'console', NULL, NULL, -80, 0);
INSERT INTO notification (id, mchid, out_trade_no, out_refund_no, event, notify_url, content,
    created_at, state) VALUES
    ('n1', 'm', 'PAID', NULL, 'TRANSACTION.SUCCESS', 'u', '{}', 2, 'taken'),
    ('n2', 'm', 'WHOLE', NULL, 'TRANSACTION.SUCCESS', 'u', '{}', 3, 'never_sent'),
    ('n3', 'm', 'PAID', 'R2', 'REFUND.SUCCESS', 'u', '{}', 7, 'pending');
";

/// What is broken after this was done to the book.
async fn after(tampering: &str) -> Vec<String> {
    let store = Store::open(None).await.unwrap();
    store.run("PRAGMA foreign_keys = OFF", []).await.unwrap();
    for sql in [BOOK, tampering].iter().flat_map(|script| script.split(';')) {
        if !sql.trim().is_empty() {
            store.run(sql, []).await.unwrap();
        }
    }
    store.violations().await.unwrap()
}

#[tokio::test]
async fn a_right_book_breaks_no_rule() {
    assert_eq!(after("").await, [""; 0]);
}

/// A person settles it later, and its time is that of the settlement from then on.
#[tokio::test]
async fn an_abnormal_refund_may_be_told_before_it_is_settled() {
    let told = "INSERT INTO notification (id, mchid, out_trade_no, out_refund_no, event, notify_url, content,
        created_at, state) VALUES ('n4', 'm', 'PAID', 'R2', 'REFUND.ABNORMAL', 'u', '{}', 6, 'taken')";
    assert_eq!(after(told).await, [""; 0]);
    let too_early = format!("{told}; UPDATE notification SET created_at = 5 WHERE id = 'n4'");
    assert_eq!(after(&too_early).await, ["notification n4: nothing is told before it is true"]);
}

#[tokio::test]
async fn each_wrong_is_found_and_named() {
    for (tampering, violation) in [
        ("DELETE FROM entry WHERE id = 2", "order WHOLE: a paid order has one payment entry"),
        ("UPDATE entry SET reference = 't9' WHERE id = 2", "order WHOLE: a paid order has one payment entry"),
        (
            "INSERT INTO entry VALUES (7, 'm', 8, 'payment', 'PAID', 't9', 100, 100)",
            "order PAID: an order has one payment at most",
        ),
        (
            "INSERT INTO entry VALUES (7, 'm', 8, 'payment', 'CLOSED', 't9', 100, 100)",
            "order CLOSED: an order that was not paid has neither money nor refunds",
        ),
        (
            "UPDATE refund SET out_trade_no = 'OPEN' WHERE out_refund_no = 'R1'",
            "order OPEN: an order that was not paid has neither money nor refunds",
        ),
        ("UPDATE payment SET payer_total = 49 WHERE transaction_id = 't2'", "order WHOLE: the payer paid"),
        (
            "UPDATE payment SET state = 'REFUND' WHERE transaction_id = 't2'",
            "order WHOLE: an order is in state",
        ),
        (
            "UPDATE payment SET state = 'SUCCESS' WHERE transaction_id = 't1'",
            "order PAID: an order is in state",
        ),
        (
            "UPDATE refund SET state = 'ABNORMAL' WHERE refund_id = 'r1'",
            "order PAID: the refunds of an order",
        ),
        ("UPDATE refund SET created_at = 1 WHERE refund_id = 'r1'", "refund R1: a refund is accepted after"),
        ("UPDATE refund SET settled_at = 5 WHERE refund_id = 'r2'", "refund R2: a refund is accepted after"),
        ("UPDATE refund SET amount = 69 WHERE refund_id = 'r2'", "refund R2: a refund took its amount once"),
        ("DELETE FROM entry WHERE id = 4", "refund R1: a refund took its amount once"),
        ("DELETE FROM refund WHERE refund_id = 'r2'", "entry 5: every entry has its cause"),
        ("UPDATE entry SET amount = -79 WHERE id = 6", "entry 6: a balance is the sum"),
        ("UPDATE entry SET amount = -81, balance = -1 WHERE id = 6", "entry 6: a balance is the sum"),
        ("UPDATE notification SET created_at = 1 WHERE id = 'n1'", "notification n1: nothing is told before"),
        ("UPDATE notification SET created_at = 6 WHERE id = 'n3'", "notification n3: nothing is told before"),
        (
            "UPDATE notification SET out_trade_no = 'OPEN' WHERE id = 'n1'",
            "notification n1: nothing is told before",
        ),
        ("DELETE FROM notification WHERE id = 'n2'", "order WHOLE: a payment is told by one notification"),
    ] {
        let found = after(tampering).await;
        assert!(found.iter().any(|found| found.starts_with(violation)), "{tampering}: {found:?}");
    }
}

#[tokio::test]
async fn fifty_refunds_are_the_most() {
    let more = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
        INSERT INTO refund (mchid, out_refund_no, out_trade_no, refund_id, source, body, amount, created_at, state)
        SELECT 'm', 'S' || i, 'PAID', 's' || i, 'api', '{}', 1, 8, 'PROCESSING' FROM n";
    let found = after(more).await;
    assert!(found.contains(&"order PAID: an order has fifty refunds at most".to_owned()), "{found:?}");
}
