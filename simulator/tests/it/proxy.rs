//! Clients whose host is written into their code.

use std::net::{Ipv4Addr, SocketAddr};

use simulator::{Options, Simulator};

use crate::client::{Client, options, start};

const FREE_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A client that knows the proxy and its authority, and nobody else.
fn behind(proxy: &simulator::Proxy) -> reqwest::Client {
    reqwest::Client::builder()
        .proxy(reqwest::Proxy::https(proxy.url()).unwrap())
        .tls_certs_only([reqwest::Certificate::from_pem(proxy.authority().as_bytes()).unwrap()])
        .user_agent("test")
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_fixed_host_leads_to_the_simulator() {
    let (simulator, _client) = start().await;
    let proxy = simulator.open_proxy(FREE_PORT).await.unwrap();
    for host in ["api.mch.weixin.qq.com", "api2.mch.weixin.qq.com", "api.wechatpay.cn"] {
        let client =
            Client { url: format!("https://{host}"), http: behind(&proxy), ..Client::of(&simulator) };
        let order = client.native_order(&format!("ORDER-{}", host.len()), "http://127.0.0.1:9/notify");
        assert_eq!(client.create("native", &order).await.status, 200);
    }
}

#[tokio::test]
async fn the_proxy_leads_nowhere_else() {
    let (simulator, _client) = start().await;
    let proxy = simulator.open_proxy(FREE_PORT).await.unwrap();
    for elsewhere in
        ["https://example.com/", "https://pay.weixin.qq.com/", "https://api.mch.weixin.qq.com:8443/"]
    {
        assert!(behind(&proxy).get(elsewhere).send().await.is_err(), "{elsewhere}");
    }
}

#[tokio::test]
async fn the_authority_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let data = Some(directory.path().join("wechat.sqlite"));
    let mut authorities = Vec::new();
    for _ in 0..2 {
        let simulator = Simulator::start(Options { data: data.clone(), ..options() }).await.unwrap();
        authorities.push(simulator.open_proxy(FREE_PORT).await.unwrap().authority().to_owned());
        simulator.stop().await;
    }
    assert_eq!(authorities[0], authorities[1]);
}
