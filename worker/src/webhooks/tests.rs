//! S-SSRF: whatever an endpoint's address says, and whatever its name resolves to, nothing on this
//! machine or its network is connected to.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use entity::{EventId, Timestamp};
use futures::{FutureExt, future::join_all};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpListener;

use super::{
    guard::{PublicOnly, is_public, tests::SPECIAL},
    *,
};

/// Names of ours, each with the answers it gives one after the other, and then again.
#[derive(Default)]
struct StubDns {
    names: HashMap<String, Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl StubDns {
    fn add(&mut self, name: &str, answers: &[&[&str]]) {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        self.names.insert(name.to_owned(), answers.iter().map(parse).collect());
    }
}

impl Resolve for StubDns {
    fn resolve(&self, name: Name) -> Resolving {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = &self.names[name.as_str().trim_end_matches('.')];
        let answer: Vec<_> =
            answers[asked % answers.len()].iter().map(|address| SocketAddr::new(*address, 0)).collect();
        async move { Ok(Box::new(answer.into_iter()) as Addrs) }.boxed()
    }
}

/// A port on every address of this machine, and how many came.
async fn everywhere() -> (u16, Arc<AtomicUsize>) {
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
        Ok(both) => both,
        Err(_) => TcpListener::bind(("0.0.0.0", 0)).await.unwrap(),
    };
    let (port, came) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
    let counted = came.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, came)
}

fn endpoint(url: &str, allow_private_addresses: bool) -> Option<Endpoint> {
    Some(Endpoint {
        name: "shop".to_owned(),
        url: url.parse().ok()?,
        secrets: vec!["whsec_AgICAgICAgICAgICAgICAgICAgICAgIC".parse().unwrap()],
        events: vec![],
        allow_private_addresses,
    })
}

async fn send(sender: &Sender, endpoint: &Endpoint) -> Outcome {
    let message = Message { id: &EventId::generate(), at: Timestamp(1_790_000_000_000), body: "{}" };
    sender.send(endpoint, message).await.outcome
}

/// Addresses, in the spellings that have got past somebody.
fn urls(port: u16) -> Vec<String> {
    let special = SPECIAL.iter().map(|text| match text.contains(':') {
        true => format!("[{text}]"),
        false => (*text).to_owned(),
    });
    let spellings = [[127, 0, 0, 1], [169, 254, 169, 254], [10, 0, 0, 1], [192, 168, 1, 1], [0, 0, 0, 0]];
    let spellings = spellings.into_iter().flat_map(|[a, b, c, d]: [u32; 4]| {
        let whole = (a << 24) | (b << 16) | (c << 8) | d;
        [
            format!("{whole}"),
            format!("{whole:#x}"),
            format!("0{whole:o}"),
            format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("{a}.{}", (b << 16) | (c << 8) | d),
            format!("{a}.{b}.{}", (c << 8) | d),
            format!("{a}.{b}.{c}.{d}."),
            format!("%3{}{}.{b}.{c}.{d}", a.to_string().as_bytes()[0] - b'0', &a.to_string()[1..]),
            format!("{a}。{b}｡{c}．{d}"),
            format!("[::ffff:{a}.{b}.{c}.{d}]"),
            format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
            format!("shop.example.com@{a}.{b}.{c}.{d}"),
            format!("shop.example.com:x@{a}.{b}.{c}.{d}"),
        ]
    });
    let hosts: Vec<String> = special.chain(spellings).collect();
    let mut urls: Vec<_> = hosts.iter().map(|host| format!("https://{host}:{port}/hook")).collect();
    urls.extend([
        format!("http://127.0.0.1:{port}/hook"),
        format!("https://127.0.0.1:{port}\\@shop.example.com/hook"),
        format!("https:127.0.0.1:{port}/hook"),
        format!("https:///127.0.0.1:{port}/hook"),
        format!("https://[fe80::1%25lo]:{port}/hook"),
    ]);
    urls
}

#[tokio::test]
async fn nothing_but_the_public_internet_is_connected_to() {
    let (port, came) = everywhere().await;
    let mut dns = StubDns::default();
    for (at, address) in SPECIAL.iter().enumerate() {
        // Alone, and in turn with others that are no better.
        dns.add(&format!("one{at}.example.com"), &[&[address]]);
        dns.add(
            &format!("turns{at}.example.com"),
            &[&[address], &["127.0.0.1", "::1"], &["10.0.0.1", address]],
        );
    }
    for name in ["localhost", "shop.localhost", "metadata.google.internal"] {
        dns.add(name, &[&["127.0.0.1"]]);
    }
    dns.add("mine.example.com", &[&["127.0.0.1"]]);
    let mut urls = urls(port);
    urls.extend(dns.names.keys().map(|name| format!("https://{name}:{port}/hook")));
    let sender = Sender::with_dns(Arc::new(dns)).unwrap();

    let mut blocked = 0;
    let mut unreadable = Vec::new();
    for url in &urls {
        let Some(endpoint) = endpoint(url, false) else {
            unreadable.push(url);
            continue;
        };
        for _ in 0..3 {
            let outcome = send(&sender, &endpoint).await;
            assert_eq!(outcome, Outcome::BlockedAddress, "{url}");
            blocked += 1;
        }
    }
    let connections = came.load(Ordering::SeqCst);
    println!(
        "S-SSRF: addresses {}, of which no URL at all {}, tries {blocked}, connections {connections}",
        urls.len(),
        unreadable.len()
    );
    assert!(urls.len() >= 200, "only {} addresses", urls.len());
    assert_eq!(connections, 0);

    // The counter counts, and the name leads where the resolver says: with leave, it comes through.
    let allowed = endpoint(&format!("http://mine.example.com:{port}/hook"), true).unwrap();
    send(&sender, &allowed).await;
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

/// What a name resolves to changes between one look and the next. Whatever comes through is public.
#[tokio::test]
async fn of_a_mixed_or_changing_answer_only_the_public_part_is_used() {
    let mut dns = StubDns::default();
    let answers: [&[&str]; 6] = [
        &["8.8.8.8"],
        &["127.0.0.1"],
        &["10.0.0.1", "8.8.4.4", "::1"],
        &["169.254.169.254", "fd00:ec2::254"],
        &["2606:4700::1111", "::ffff:127.0.0.1"],
        &[],
    ];
    dns.add("flips.example.com", &answers);
    let guarded = PublicOnly(Arc::new(dns));
    let looks = join_all((0..600).map(|_| guarded.resolve("flips.example.com".parse().unwrap()))).await;
    let (mut refused, mut through) = (0, Vec::new());
    for look in looks {
        match look {
            Ok(addresses) => through.extend(addresses.map(|address| address.ip())),
            Err(_) => refused += 1,
        }
    }
    let private = through.iter().filter(|address| !is_public(**address)).count();
    println!(
        "S-SSRF: looks 600, refused {refused}, addresses let through {}, not public {private}",
        through.len()
    );
    assert_eq!((refused, through.len(), private), (300, 300, 0));
}
