//! What people are told who ask why an order is where it is.

use std::time::Duration;

use serde_json::Value;
use simulator::{Fault, FaultKind};

use crate::system::{Placed, TestSystem};

async fn explanation(system: &TestSystem, order: &Placed) -> Value {
    let answered = system.shop_gets(&format!("/v1/orders/{}/timeline", order.id)).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    answered.body["explanation"].clone()
}

fn says(sentences: &Value, language: &str, words: &str) -> bool {
    let mut all = sentences.as_array().expect("sentences").iter();
    all.any(|sentence| sentence[language].as_str().is_some_and(|text| text.contains(words)))
}

/// An outage, its end, and the payment: at each moment it is said why, and what comes next.
#[tokio::test]
async fn why_an_order_is_where_it_is_is_said_in_two_languages() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let said = explanation(&system, &order).await;
        assert!(says(&said["why"], "en", "nobody has tried to pay yet"), "{said}");
        assert!(says(&said["next"], "zh", "到期未付则关闭订单"), "{said}");

        system.wechat(Fault::new(FaultKind::Down));
        assert_eq!(system.open_payment(&order).await.status, 202);
        system.jobs_are_idle().await;
        let said = explanation(&system, &order).await;
        assert!(says(&said["why"], "en", "outcome is unknown and is settled by asking"), "{said}");
        assert!(says(&said["why"], "zh", "结果未知"), "{said}");
        assert!(says(&said["next"], "en", "the same bytes"), "{said}");
        assert!(says(&said["next"], "en", "it failed"), "{said}");

        system.wechat_is_well();
        system.advance(Duration::from_secs(30)).await;
        let payment = system.payment_of(&order).await;
        let said = explanation(&system, &order).await;
        assert!(says(&said["why"], "en", "is open at WeChat Pay"), "{said}");

        system.payer_pays(&payment).await;
        system.order_is_paid(&order).await;
        system.jobs_are_idle().await;
        let said = explanation(&system, &order).await;
        assert!(says(&said["why"], "en", "Paid in full, ¥39.90"), "{said}");
        assert!(says(&said["known"], "en", "the payment succeeded (WeChat Pay's notification)"), "{said}");
        assert_eq!(said["next"], Value::Array(Vec::new()), "nothing is left to do");
        system.end().await;
    }
}
