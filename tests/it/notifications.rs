//! What is believed of what WeChat Pay, or somebody who is not, tells us. No 5xx, no change, and a
//! 2xx only after a commit.

use std::time::Duration;

use entity::{notification::Verdict, order};
use futures::future::join_all;
use http::{HeaderMap, HeaderValue};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Signature, SignedNotification, Target};

use crate::system::{MERCHANT, OTHER_MERCHANT, Placed, TestSystem};

impl TestSystem {
    /// A true notification that this order's payment succeeded, which WeChat Pay has not sent.
    async fn claim(&self, order: &Placed) -> SignedNotification {
        let payment = self.ready_payment(order).await;
        let notary = self.simulator.notary();
        notary.notification(&notary.paid_transaction(&payment.out_trade_no, 3990)).unwrap()
    }
}

/// I6: while the database takes nothing, WeChat Pay is not told that we have it, and tells again.
#[tokio::test]
async fn what_is_not_written_down_is_not_acknowledged() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        let rename = async |from: &str, to: &str| {
            let sql = format!("ALTER TABLE {from} RENAME TO {to}");
            system.db().write(async |txn| txn.execute_unprepared(&sql).await).await.unwrap();
        };
        rename("notification", "notification_away").await;
        system.payer_pays(&payment).await;
        rename("notification_away", "notification").await;
        assert_eq!(system.notifications().await, [], "nothing was kept");
        system.advance(Duration::from_secs(15)).await;
        assert_eq!(system.notifications().await.len(), 1);
        let told = system.simulator.payment(&payment.out_trade_no).await.unwrap();
        let answers: Vec<_> =
            told.notifications[0].deliveries.iter().map(|delivery| delivery.status).collect();
        assert_eq!(answers, [Some(500), Some(204)]);
        system.order_is_paid(&order).await;
        system.end().await;
    }
}

#[tokio::test]
async fn what_is_not_signed_by_wechat_is_refused_and_leaves_no_row() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let SignedNotification { headers, body } = system.claim(&order).await;
        let rows = system.rows().await;
        let notary = system.simulator.notary();
        let with = |name: &'static str, value: &str| {
            let mut headers = headers.clone();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            headers
        };
        let without = |name: &str| {
            let mut headers = headers.clone();
            headers.remove(name);
            headers
        };
        let twice = |name: &'static str| {
            let mut headers = headers.clone();
            headers.append(name, headers[name].clone());
            headers
        };
        let at = |offset: i64| {
            let text = headers["wechatpay-timestamp"].to_str().unwrap();
            with("wechatpay-timestamp", &(text.parse::<i64>().unwrap() + offset).to_string())
        };
        let mut altered = body.clone();
        altered[40] ^= 1;
        let cases = [
            ("missing", HeaderMap::new(), &body),
            ("missing", without("wechatpay-signature"), &body),
            ("missing", without("wechatpay-serial"), &body),
            ("missing", without("wechatpay-timestamp"), &body),
            ("missing", without("wechatpay-nonce"), &body),
            ("duplicate", twice("wechatpay-signature"), &body),
            ("duplicate", twice("wechatpay-timestamp"), &body),
            ("malformed", with("wechatpay-timestamp", "soon"), &body),
            ("malformed", with("wechatpay-signature-type", "WECHATPAY2-SM2-WITH-SM3"), &body),
            ("stale", at(-301), &body),
            ("stale", at(301), &body),
            ("stale", with("wechatpay-timestamp", "0"), &body),
            ("unknown_serial", with("wechatpay-serial", "PUB_KEY_ID_0000000000000000"), &body),
            ("bad_signature", with("wechatpay-signature", "not base64 !"), &body),
            ("bad_signature", with("wechatpay-signature", "AAAA"), &body),
            ("bad_signature", with("wechatpay-nonce", "another"), &body),
            ("bad_signature", at(1), &body),
            ("bad_signature", headers.clone(), &altered),
            ("bad_signature", notary.sign_notification_as(&body, Signature::Wrong), &body),
            ("probe", notary.sign_notification_as(&body, Signature::Probe), &body),
        ];
        for (reason, headers, body) in cases {
            let answered = system.tell(MERCHANT, headers.clone(), body.clone()).await;
            assert_eq!(answered.status, 401, "{reason} {headers:?}");
            assert_eq!(answered.body, json!({ "code": "FAIL", "message": reason }), "{headers:?}");
        }
        assert_eq!(system.tell("nobody", headers.clone(), body.clone()).await.status, 404);
        let oversized = vec![b'x'; 1024 * 1024 + 1];
        assert_eq!(system.tell(MERCHANT, notary.sign_notification(&oversized), oversized).await.status, 413);
        assert_eq!(system.rows().await, rows, "nothing was written");
        system.end().await;
    }
}

/// A-AMOUNT and its kin: signed by WeChat Pay, and not what we know. Kept, and nothing moves; the
/// truth is found by asking.
#[tokio::test]
async fn what_wechat_signs_but_contradicts_us_is_kept_and_moves_nothing() {
    use FaultKind::{UnknownNumber, WrongAmount, WrongAppid, WrongCurrency, WrongMchid};
    let cases = [
        (WrongAmount, "amount_differs"),
        (WrongAppid, "appid_differs"),
        (WrongMchid, "mchid_differs"),
        (WrongCurrency, "currency_differs"),
        (UnknownNumber, "unknown_number"),
    ];
    for system in TestSystem::each().await {
        for (fault, reason) in cases {
            system.wechat(Fault::new(fault).on(Target::Notify).times(1));
            let order = system.place_order(reason).await;
            let payment = system.ready_payment(&order).await;
            system.payer_pays(&payment).await;
            system.jobs_are_idle().await;
            assert_eq!(system.order(&order).await.status, order::Status::Pending, "{reason}");
            let kept = system.notifications().await.pop().unwrap();
            assert_eq!((kept.verdict, kept.reason.as_deref()), (Verdict::Ignored, Some(reason)));
            let reported = "notification mismatch_reported: order pending, payment awaiting_payment";
            let was_reported = system.timeline(&order).await.iter().any(|line| line == reported);
            assert_eq!(was_reported, fault != UnknownNumber, "{reason}");
            system.advance(Duration::from_secs(5)).await;
            assert_eq!(system.order(&order).await.status, order::Status::Paid, "{reason}");
        }
        system.end().await;
    }
}

/// A-CROSS: a right signature at the wrong merchant's address.
#[tokio::test]
async fn a_notification_at_another_merchants_address_moves_nothing() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let claim = system.claim(&order).await;
        assert_eq!(system.tell(OTHER_MERCHANT, claim.headers, claim.body).await.status, 204);
        system.jobs_are_idle().await;
        let kept = system.notifications().await.pop().unwrap();
        assert_eq!((kept.verdict, kept.reason.as_deref()), (Verdict::Ignored, Some("unknown_number")));
        assert_eq!(system.order(&order).await.status, order::Status::Pending);
        system.end().await;
    }
}

/// N-DUP: fifty copies at once, and again afterwards.
#[tokio::test]
async fn a_repeated_notification_pays_the_order_once() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        system.payer_pays(&payment).await;
        let told = system.simulator.payment(&payment.out_trade_no).await.unwrap();
        let notary = system.simulator.notary();
        let mut said: Value = notary.paid_transaction(&payment.out_trade_no, 3990);
        said["transaction_id"] = json!(told.transaction_id);
        let again = notary.notification(&said).unwrap();
        for _ in 0..2 {
            let copies = (0..50).map(|_| system.tell(MERCHANT, again.headers.clone(), again.body.clone()));
            let statuses: Vec<_> = join_all(copies).await.iter().map(|answered| answered.status).collect();
            // A machine that is too busy to write it down in time says so.
            assert!(statuses.contains(&204), "{statuses:?}");
            assert!(statuses.iter().all(|status| matches!(status, 204 | 503)), "{statuses:?}");
            system.jobs_are_idle().await;
        }
        assert_eq!(system.notifications().await.len(), 2, "the first, and one of a hundred copies");
        assert_eq!(system.timeline(&order).await.len(), 4);
        system.end().await;
    }
}

/// Signed, and about nothing that we handle: stored and acknowledged, or WeChat Pay would go on for a day.
#[tokio::test]
async fn what_we_do_not_handle_is_stored_and_acknowledged() {
    for system in TestSystem::each().await {
        let notary = system.simulator.notary();
        let bodies: [(&[u8], &str); 4] = [
            (b"", "not_an_envelope"),
            (b"<xml><return_code>SUCCESS</return_code></xml>", "not_an_envelope"),
            (br#"{"id":"EV-1"}"#, "not_an_envelope"),
            (
                br#"{"id":"EV-2","event_type":"COMPLAINT.CREATE","resource":{"algorithm":"AEAD_AES_256_GCM","nonce":"x","ciphertext":"x"}}"#,
                "event_type_unhandled",
            ),
        ];
        for (body, reason) in bodies {
            assert_eq!(
                system.tell(MERCHANT, notary.sign_notification(body), body.to_vec()).await.status,
                204
            );
            system.jobs_are_idle().await;
            let kept = system.notifications().await.pop().unwrap();
            assert_eq!((kept.verdict, kept.reason.as_deref()), (Verdict::Ignored, Some(reason)));
            assert_eq!(kept.body, body, "byte for byte");
        }
        system.end().await;
    }
}

/// Sealed with another key: kept, and opened when the key is there. It never counts as done.
#[tokio::test]
async fn what_cannot_be_opened_is_kept_and_tried_again() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let claim = system.claim(&order).await;
        let mut envelope: Value = serde_json::from_slice(&claim.body).unwrap();
        envelope["resource"]["associated_data"] = json!("another");
        let body = serde_json::to_vec(&envelope).unwrap();
        let headers = system.simulator.notary().sign_notification(&body);
        assert_eq!(system.tell(MERCHANT, headers, body).await.status, 204);
        for runs in [1, 2] {
            system.jobs_are_idle().await;
            let kept = system.notifications().await.pop().unwrap();
            assert_eq!(
                (kept.verdict, kept.reason.as_deref()),
                (Verdict::Undecryptable, Some("no_key_opens_it"))
            );
            let job = system.job("apply_notification", kept.id.as_str()).await.expect("it is tried again");
            assert_eq!(job.runs, runs);
            system.advance(Duration::from_secs(3600)).await;
        }
        // Its two hours are over by now, and nobody has paid.
        assert_eq!(system.order(&order).await.status, order::Status::Closed);
        system.end().await;
    }
}
