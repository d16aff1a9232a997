use std::{net::SocketAddr, time::Duration};

use simulator::{Credentials, Options, Pay};

use crate::{
    client::{Client, options, start_with},
    merchant::Merchant,
};

#[tokio::test]
async fn a_restart_continues_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/simulator.db");
    let with_file = || Options { data: Some(file.clone()), ..options() };
    let merchant = Merchant::open().await;
    let notify_url = merchant.notify_url.clone();
    let door: SocketAddr = notify_url["http://".len()..].split_once('/').unwrap().0.parse().unwrap();
    drop(merchant);

    let (simulator, client) = start_with(with_file()).await;
    for number in ["ORDER-1", "ORDER-2"] {
        client.create("native", &client.native_order(number, &notify_url)).await;
    }
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    simulator.notifications_settled().await.unwrap();
    simulator.advance_clock(Duration::from_secs(10)).await.unwrap();
    let (told, ledger) = (simulator.now_ms(), simulator.ledger().await.unwrap());
    simulator.stop().await;

    // The second time without credentials: the file has them.
    let mut merchant = Merchant::open_at(door).await;
    let (simulator, client) = start_with(Options { credentials: None, ..with_file() }).await;
    assert_eq!(
        client.merchant.certificate_serial,
        crate::client::CREDENTIALS.api_certificates[0].certified.serial
    );
    assert!(simulator.now_ms() >= told);
    assert_eq!(simulator.ledger().await.unwrap(), ledger);
    assert_eq!(simulator.payment("ORDER-2").await.unwrap().trade_state, "NOTPAY");
    simulator.advance_clock(Duration::from_secs(15)).await.unwrap();
    let posted = merchant.next().await;
    assert_eq!(posted.transaction(&client).unwrap()["out_trade_no"], "ORDER-1");
    simulator.notifications_settled().await.unwrap();
    assert_eq!(simulator.payment("ORDER-1").await.unwrap().notifications[0].attempts, 2);
    simulator.stop().await;
}

#[tokio::test]
async fn what_was_on_its_way_is_sent_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let with_file = || Options { data: Some(folder.path().join("simulator.db")), ..options() };
    // A merchant who takes the connection and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = silent.local_addr().unwrap();
    let (simulator, client) = start_with(with_file()).await;
    let order = client.native_order("ORDER-1", &format!("http://{door}/notify"));
    client.create("native", &order).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    let (held, _) = silent.accept().await.unwrap();
    simulator.stop().await;
    drop((held, silent));

    let mut merchant = Merchant::open_at(door).await;
    let (simulator, client) = start_with(with_file()).await;
    assert!(merchant.next().await.transaction(&client).is_ok());
    simulator.stop().await;
}

#[tokio::test]
async fn credentials_can_be_kept_as_json() {
    let kept = serde_json::to_string(&*crate::client::CREDENTIALS).unwrap();
    let credentials: Credentials = serde_json::from_str(&kept).unwrap();
    let (simulator, client) =
        start_with(Options { credentials: Some(credentials), ..Options::default() }).await;
    assert_eq!(client.query("ORDER-1").await.status, 404);
    assert!(simulator.addr().ip().is_loopback());
    let _ = Client::of(&simulator);
}
