//! A forward proxy that leads to the simulator, for clients whose host is written into their code.
//!
//! Such a client is pointed at this proxy and told to trust its authority, and is otherwise left as
//! it is: `CONNECT api.mch.weixin.qq.com:443` is answered here, with a certificate for that name.
//! Nothing is ever passed on to WeChat or to anybody else.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::{Simulator, store::Store};

/// The names that lead to the simulator: of API v3 and of the calls for openids.
const HOSTS: [&str; 6] = [
    "api.mch.weixin.qq.com",
    "api2.mch.weixin.qq.com",
    "api.wechatpay.cn",
    "api2.wechatpay.cn",
    "api.weixin.qq.com",
    "open.weixin.qq.com",
];
/// Whoever trusts the authority trusts it for these only.
const DOMAINS: [&str; 2] = ["weixin.qq.com", "wechatpay.cn"];
const AUTHORITY: &str = "proxy_authority";
const CERTIFICATE_YEARS: i32 = 10;
const HEAD_BYTES_MAX: usize = 8 << 10;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A running proxy. Dropping it closes it.
pub struct Proxy {
    addr: SocketAddr,
    certificate: String,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Opens a proxy that leads here. Its authority is kept in the simulator's file, so that it
    /// need be trusted once only.
    pub async fn open_proxy(&self, listen: SocketAddr) -> anyhow::Result<Proxy> {
        let authority = Authority::of(&self.wechat.store).await?;
        let acceptor = TlsAcceptor::from(Arc::new(authority.server_config()?));
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let addr = listener.local_addr()?;
        let server = tokio::spawn(serve(listener, acceptor, self.addr()));
        Ok(Proxy { addr, certificate: authority.certificate, server })
    }
}

impl Proxy {
    /// `http://127.0.0.1:…`, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The certificate to trust, as PEM.
    pub fn authority(&self) -> &str {
        &self.certificate
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Serialize, Deserialize)]
struct Authority {
    private_key: String,
    certificate: String,
}

impl Authority {
    async fn of(store: &Store) -> anyhow::Result<Self> {
        if let Some(kept) = store.setting(AUTHORITY).await? {
            return serde_json::from_str(&kept).context("reading the kept authority");
        }
        let key = KeyPair::generate().context("making the authority's key")?;
        let certificate = Self::params()?.self_signed(&key).context("issuing the authority")?.pem();
        let authority = Self { private_key: key.serialize_pem(), certificate };
        store.set(AUTHORITY, &serde_json::to_string(&authority)?).await?;
        Ok(authority)
    }

    fn params() -> anyhow::Result<CertificateParams> {
        let mut params = dated("everpaid simulator, for tests only")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: DOMAINS.map(|domain| GeneralSubtree::DnsName(domain.to_owned())).to_vec(),
            excluded_subtrees: Vec::new(),
        });
        Ok(params)
    }

    /// A fresh certificate for WeChat's names, under this authority.
    fn server_config(&self) -> anyhow::Result<ServerConfig> {
        let issuer_key = KeyPair::from_pem(&self.private_key).context("reading the authority's key")?;
        let issuer = Issuer::new(Self::params()?, issuer_key);
        let mut params = dated(HOSTS[0])?;
        params.subject_alt_names = CertificateParams::new(HOSTS.map(str::to_owned))?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().context("making the proxy's key")?;
        let certificate = params.signed_by(&key, &issuer).context("issuing the proxy's certificate")?;
        let private_key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private_key.into())?;
        // What comes out of the tunnel is handed to the simulator as it is.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn dated(name: &str) -> anyhow::Result<CertificateParams> {
    let year = jiff::Zoned::now().year();
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(year.into(), 1, 1);
    params.not_after = rcgen::date_time_ymd(i32::from(year) + CERTIFICATE_YEARS, 12, 31);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, simulator: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Err(error) = lead(client, acceptor, simulator).await {
                        debug!(%error, "a connection through the proxy ended");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn lead(mut client: TcpStream, acceptor: TlsAcceptor, simulator: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let head = tokio::time::timeout(HEAD_TIMEOUT, read_head(&mut client)).await??;
    if !is_for_us(&head) {
        let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(answer.as_bytes()).await;
    }
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let mut client = acceptor.accept(client).await?;
    let mut simulator = TcpStream::connect(simulator).await?;
    simulator.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut simulator).await?;
    Ok(())
}

/// A client waits for our answer before it says more, so nothing behind the head is lost.
async fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || client.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(head)
}

fn is_for_us(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let asked = std::str::from_utf8(first).ok().and_then(|line| line.strip_prefix("CONNECT "));
    let authority = asked.and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    authority.strip_suffix(":443").is_some_and(|host| HOSTS.contains(&host.to_ascii_lowercase().as_str()))
}
