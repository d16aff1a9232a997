use futures::{Stream, StreamExt};
use simulator::Pay;

use crate::{
    client::{Client, start},
    merchant::Merchant,
};

/// What the stream says, event by event.
async fn follow(client: &Client) -> impl Stream<Item = String> + Unpin {
    let response = client.request("GET", "/_sim/events").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Box::pin(response.bytes_stream().map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap()))
}

#[tokio::test]
async fn a_page_is_told_of_everything_that_changes() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    let mut events = follow(&client).await;
    let mut told = async || {
        let event = events.next().await.unwrap();
        assert!(event.starts_with("event: changed\n"), "{event}");
    };
    // At once, so that whoever comes late misses nothing.
    told().await;
    client.create("native", &client.native_order("ORDER-1", &merchant.notify_url)).await;
    told().await;
    client.control("POST", "/faults", r#"{"kind":"silent"}"#).await;
    told().await;
    client.control("DELETE", "/faults", "").await;
    told().await;
    simulator.cancel("ORDER-1").await.unwrap();
    told().await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    merchant.next().await;
    told().await;
    simulator.notifications_settled().await.unwrap();
    let listed = client.control("GET", "/notifications?limit=5", "").await.json();
    let told = &listed["notifications"][0];
    assert_eq!((&told["out_trade_no"], &told["state"]), (&"ORDER-1".into(), &"taken".into()));
    assert_eq!(told["notify_url"], merchant.notify_url.as_str());
    assert_eq!(told["deliveries"][0]["status"], 204);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let (_simulator, client) = start().await;
    let mut events = follow(&client).await;
    events.next().await.unwrap();
    for target in ["/payments", "/faults", "/clock", "/ledger", "/notifications"] {
        client.control("GET", target, "").await;
    }
    client.control("POST", "/clock", r#"{"advance_seconds": 1}"#).await;
    assert!(events.next().await.unwrap().contains("data: 1\n"));
}

#[tokio::test]
async fn a_page_that_follows_does_not_hold_up_the_end() {
    let (simulator, client) = start().await;
    let mut events = follow(&client).await;
    events.next().await.unwrap();
    simulator.stop().await;
    assert_eq!(events.next().await, None);
}
