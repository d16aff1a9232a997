//! Those who hang, and those who send what nobody can read: the simulator goes on.

use std::time::Duration;

use serde_json::json;
use simulator::{Options, Pay};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{Client, options, start, start_with},
    merchant::Merchant,
};

const NOWHERE: &str = "http://127.0.0.1:9/notify";
const NATIVE: &str = "/v3/pay/transactions/native";

/// Sends this, waits, and returns what came until the other side hung up.
async fn hang(client: &Client, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(client.url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut came = Vec::new();
    // A reset is a way of hanging up as well.
    let _ = stream.read_to_end(&mut came).await;
    String::from_utf8_lossy(&came).into_owned()
}

#[tokio::test]
async fn whoever_sends_half_a_request_is_hung_up_on() {
    let patience = Duration::from_millis(100);
    let (simulator, client) = start_with(Options { patience, ..options() }).await;
    let body = client.native_order("ORDER-1", NOWHERE).to_string();
    let authorization = client.authorization(&client.said(), "POST", NATIVE, &body);
    let head = format!(
        "POST {NATIVE} HTTP/1.1\r\nhost: simulator\r\nauthorization: {authorization}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    for half in ["", "PO", &head[..head.len() / 2], &head[..head.len() - 2]] {
        assert_eq!(hang(&client, half.as_bytes()).await, "", "{half:?}");
    }
    let half_a_body = format!("{head}{}", &body[..20]);
    let answer = hang(&client, half_a_body.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(simulator.payments(10).await.unwrap().is_empty());
    // The same bytes, all of them, are a good request.
    let answer = hang(&client, format!("{head}{body}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn whoever_hangs_holds_nobody_up() {
    let (_simulator, client) = start().await;
    let mut hanging = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(client.url.strip_prefix("http://").unwrap()).await.unwrap();
        stream
            .write_all(b"POST /v3/pay/transactions/native HTTP/1.1\r\ncontent-length: 9\r\n\r\n{")
            .await
            .unwrap();
        hanging.push(stream);
    }
    assert_eq!(client.create("native", &client.native_order("ORDER-1", NOWHERE)).await.status, 200);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let (_simulator, client) = start().await;
    for noise in ["\u{16}\u{3}\u{1}\u{2}\u{0}", "HELLO\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let answer = hang(&client, noise.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{noise:?}: {answer}");
    }
    assert_eq!(client.query("ORDER-1").await.status, 404);
}

#[tokio::test]
async fn a_body_that_nobody_can_read_is_refused_in_wechats_words() {
    let (simulator, client) = start().await;
    let deep = "[".repeat(10_000);
    let order = client.native_order("ORDER-1", NOWHERE).to_string();
    let twice = order.replacen('{', "{\"amount\":{\"total\":0},", 1);
    for body in
        ["", "{", "[]", "null", "\"text\"", &deep, &order[..order.len() - 1], &format!("{order}{order}")]
    {
        let answer = client.call("POST", NATIVE, body).await;
        assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()), "{body:.40}");
    }
    // Not UTF-8: signed over the very bytes, and still no text.
    let bytes = [order.as_bytes(), b"\xff"].concat();
    let answer = client.send(client.signed("POST", NATIVE, &bytes)).await.unwrap();
    assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()));
    assert!(simulator.payments(10).await.unwrap().is_empty());
    // Of a key that comes twice the last one counts.
    assert_eq!(client.call("POST", NATIVE, &twice).await.status, 200);
}

#[tokio::test]
async fn an_oversized_body_is_refused_without_being_read_to_its_end() {
    let (simulator, client) = start().await;
    let mut order = client.native_order("ORDER-1", NOWHERE);
    order["attach"] = json!("x".repeat(1 << 20));
    let answer = client.create("native", &order).await;
    assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()));
    let endless = format!(
        "POST {NATIVE} HTTP/1.1\r\nhost: simulator\r\ncontent-length: 1000000000000\r\n\r\n{}",
        "x".repeat(1 << 21)
    );
    let answer = hang(&client, endless.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(simulator.payments(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_merchant_who_never_answers_is_given_five_seconds_and_holds_nobody_up() {
    let (simulator, client) = start().await;
    // Takes every connection into its backlog, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}/notify", silent.local_addr().unwrap());
    let mut merchant = Merchant::open().await;
    for (number, notify_url) in [("ORDER-1", &nowhere), ("ORDER-2", &merchant.notify_url)] {
        client.create("native", &client.native_order(number, notify_url)).await;
        simulator.pay(number, Pay::default()).await.unwrap();
    }
    let told = merchant.next().await;
    assert_eq!(told.transaction(&client).unwrap()["out_trade_no"], "ORDER-2");
    assert_eq!(client.state("ORDER-1").await, "SUCCESS");

    simulator.notifications_settled().await.unwrap();
    let payment = simulator.payment("ORDER-1").await.unwrap();
    let post = &payment.notifications[0].deliveries[0];
    assert_eq!((payment.notifications[0].state, post.status), ("pending", None));
    assert!((5_000..10_000).contains(&post.took_ms), "{}", post.took_ms);
    assert!(post.error.is_some() && payment.notifications[0].next_at.is_some());
}
