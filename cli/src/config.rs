//! The configuration: one file, every key overridable by the environment, every secret also from a
//! file. Read once; nothing below reads an environment variable.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use api::{ApiKeyHash, Clocks, LinkKeys};
use entity::{DbOptions, told_event::Kind};
use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use sea_orm::Iterable;
use serde::{
    Deserialize, Deserializer,
    de::{
        Error, MapAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
};
use simulator::MerchantCredentials;
use wechatpay::{
    ApiV3Key, Client, Environment, OpenidClient, PrivateKey, ShippingClient, TrustedKeys, openid,
};
use worker::{RedisAt, webhooks::Endpoint};

/// Everything that can be set. `everpaid.example.toml` says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub public_url: Option<String>,
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    #[serde(default = "metrics_listen")]
    pub metrics_listen: SocketAddr,
    /// From the word to stop until the listener closes: `/readyz` says no meanwhile.
    #[serde(default = "drain_seconds")]
    pub drain_seconds: u64,
    #[serde(default)]
    pub database: Database,
    #[serde(default)]
    pub redis: Redis,
    #[serde(default)]
    pub wechat: WeChat,
    #[serde(default)]
    pub links: Links,
    #[serde(default)]
    pub merchants: BTreeMap<String, Merchant>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    pub url: Option<Secret>,
    pub url_file: Option<PathBuf>,
    pub writers: u32,
    pub readers: u32,
    pub allow_unsafe_durability: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    pub url: Option<Secret>,
    pub url_file: Option<PathBuf>,
    pub prefix: String,
    pub allow_eviction: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeChat {
    pub base_url: String,
    pub backup_url: Option<String>,
    pub open_url: Option<String>,
    pub openid_url: Option<String>,
    pub verify_files: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    pub key: Option<Secret>,
    pub key_file: Option<PathBuf>,
    pub previous_key: Option<Secret>,
    pub previous_key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merchant {
    pub display_name: String,
    pub support: Option<String>,
    #[serde(deserialize_with = "text")]
    pub mchid: String,
    #[serde(deserialize_with = "text")]
    pub certificate_serial: String,
    pub private_key: Option<Secret>,
    pub private_key_file: Option<PathBuf>,
    pub apiv3_key: Option<Secret>,
    pub apiv3_key_file: Option<PathBuf>,
    pub previous_apiv3_key: Option<Secret>,
    pub previous_apiv3_key_file: Option<PathBuf>,
    pub public_key_id: Option<String>,
    pub public_key: Option<String>,
    pub public_key_file: Option<PathBuf>,
    #[serde(default)]
    pub platform_certificate_files: Vec<PathBuf>,
    #[serde(default)]
    pub out_trade_no_prefix: String,
    #[serde(default = "calls_per_second")]
    pub calls_per_second: NonZeroU32,
    #[serde(default)]
    pub policies: worker::Policies,
    pub apps: BTreeMap<String, App>,
    #[serde(default)]
    pub origins: Vec<String>,
    #[serde(default)]
    pub api_key_hashes: Vec<String>,
    #[serde(default)]
    pub webhooks: BTreeMap<String, Webhook>,
}

/// Where a shop wants to be told, and of what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    pub url: String,
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
    pub previous_secret: Option<Secret>,
    pub previous_secret_file: Option<PathBuf>,
    pub events: Option<Vec<String>>,
    #[serde(default)]
    pub allow_private_addresses: bool,
}

/// An app that is bound to the mchid: a table, or its kind alone.
#[derive(Clone, Debug)]
pub struct App {
    pub kind: AppKind,
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppKind {
    ServiceAccount,
    MiniProgram,
}

/// A value that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Default for Database {
    fn default() -> Self {
        let DbOptions { writers, readers, .. } = DbOptions::new(String::new());
        Self { url: None, url_file: None, writers, readers, allow_unsafe_durability: false }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: None, url_file: None, prefix: "everpaid".to_owned(), allow_eviction: false }
    }
}

impl Default for WeChat {
    fn default() -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            backup_url: None,
            open_url: None,
            openid_url: None,
            verify_files: BTreeMap::new(),
        }
    }
}

fn calls_per_second() -> NonZeroU32 {
    worker::Budget::DEFAULT
}

fn listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8700))
}

fn drain_seconds() -> u64 {
    2
}

fn metrics_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8702))
}

impl Config {
    /// Everything by its default, on that database and with that WeChat Pay.
    pub fn simulated(database_url: &str, simulator_url: &str, link_key: &str) -> Self {
        Self {
            public_url: None,
            listen: listen(),
            metrics_listen: metrics_listen(),
            drain_seconds: 0,
            database: Database { url: Some(database_url.to_owned().into()), ..Database::default() },
            redis: Redis::default(),
            wechat: WeChat { base_url: simulator_url.to_owned(), ..WeChat::default() },
            links: Links { key: Some(link_key.to_owned().into()), ..Links::default() },
            merchants: BTreeMap::new(),
        }
    }

    /// Reads a file and the environment over it. A key that is not known is an error with its line.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let toml = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&toml, Env::prefixed("EVERPAID__").split("__")).map_err(|error| {
            let place = line_of(&error, &toml).map_or_else(String::new, |line| format!(":{line}"));
            // figment's own words say what and under which key; the value stays out of them.
            anyhow::anyhow!("{}{place}: {}", path.display(), describe(&error))
        })
    }

    fn parse(toml: &str, environment: Env) -> Result<Self, Box<figment::Error>> {
        Figment::new().merge(Toml::string(toml)).merge(environment).extract().map_err(Box::new)
    }

    /// What the api may know of every merchant. No key may open two of them.
    pub(crate) fn merchants_of_api(&self) -> anyhow::Result<Vec<api::Merchant>> {
        let mut seen = std::collections::HashSet::new();
        for hash in self.merchants.values().flat_map(|merchant| &merchant.api_key_hashes) {
            ensure!(seen.insert(hash.to_ascii_lowercase()), "one of the api_key_hashes is there twice");
        }
        self.merchants.iter().map(|(name, one)| one.for_api(name)).collect()
    }

    /// Where payers and WeChat Pay reach us. WeChat Pay itself takes only https and a public name.
    pub(crate) fn public_url(&self, listening: SocketAddr) -> anyhow::Result<String> {
        let Some(url) = &self.public_url else {
            ensure!(self.wechat.simulator_url().is_some(), "public_url is not set");
            return Ok(format!("http://{listening}"));
        };
        let url = url.trim_end_matches('/');
        let host = url.split_once("://").map_or("", |(_, rest)| rest);
        let is_public =
            url.starts_with("https://") && !host.starts_with("localhost") && !host.starts_with("127.");
        ensure!(
            is_public || self.wechat.simulator_url().is_some(),
            "public_url must be https and public: WeChat Pay sends no notification elsewhere"
        );
        ensure!(
            !host.is_empty() && !host.contains(['/', '?', '#']) && url.len() <= 200,
            "public_url must be a scheme and a host"
        );
        Ok(url.to_owned())
    }

    /// The keys that payers' links are made with.
    pub fn link_keys(&self) -> anyhow::Result<LinkKeys> {
        let Links { key, key_file, previous_key, previous_key_file } = &self.links;
        let current = secret("links.key", key.as_ref(), key_file.as_deref())?;
        let previous =
            optional_secret("links.previous_key", previous_key.as_ref(), previous_key_file.as_deref())?;
        let keys: Vec<String> = std::iter::once(current).chain(previous).collect();
        LinkKeys::new(&keys).context("links.key must have at least 32 bytes")
    }
}

impl Database {
    pub fn options(&self) -> anyhow::Result<DbOptions> {
        let url = secret("database.url", self.url.as_ref(), self.url_file.as_deref())?;
        ensure!(
            url.starts_with("sqlite:") || url.starts_with("postgres:") || url.starts_with("postgresql:"),
            "database.url must begin with sqlite: or postgres:"
        );
        Ok(DbOptions { writers: self.writers, readers: self.readers, ..DbOptions::new(url) })
    }
}

impl Redis {
    /// Where it is, if there is one.
    pub(crate) fn at(&self) -> anyhow::Result<Option<RedisAt>> {
        let Some(url) = optional_secret("redis.url", self.url.as_ref(), self.url_file.as_deref())? else {
            return Ok(None);
        };
        // Not even why: the error may repeat the address with its password.
        let client = redis::Client::open(url).ok().context("redis.url is not the address of a Redis")?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ensure!(
            !self.prefix.is_empty() && self.prefix.bytes().all(is_name),
            "redis.prefix must be letters, digits, _ and -"
        );
        Ok(Some(RedisAt { client, prefix: self.prefix.clone() }))
    }
}

const BASE_URL: &str = "https://api.mch.weixin.qq.com";
const BACKUP_URL: &str = "https://api2.mch.weixin.qq.com";
const OPEN_URL: &str = "https://open.weixin.qq.com";
const OPENID_URL: &str = "https://api.weixin.qq.com";

impl WeChat {
    /// The second host. WeChat Pay's own stands behind WeChat Pay's own first one only: what was
    /// meant for a simulator or a gateway must not go elsewhere.
    fn backup_url(&self) -> Option<String> {
        let default = || (self.base_url.trim_end_matches('/') == BASE_URL).then(|| BACKUP_URL.to_owned());
        let url = self.backup_url.clone().or_else(default)?;
        Some(url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty())
    }

    /// Where payers are sent to say who they are.
    pub(crate) fn open_url(&self) -> anyhow::Result<String> {
        let url = self.login_host(self.open_url.as_deref(), OPEN_URL);
        let is_host = url.parse::<reqwest::Url>().is_ok_and(|url| url.has_host() && url.path() == "/");
        ensure!(is_host && !url.contains(['?', '#']), "wechat.open_url must be a scheme and a host");
        Ok(url)
    }

    /// Exchanges payers' codes.
    pub(crate) fn openids(&self) -> anyhow::Result<OpenidClient> {
        OpenidClient::new(&self.login_host(self.openid_url.as_deref(), OPENID_URL))
            .context("wechat.openid_url")
    }

    /// Tells how mini-programs' goods reach their payers.
    fn shipping(&self) -> anyhow::Result<ShippingClient> {
        ShippingClient::new(&self.login_host(self.openid_url.as_deref(), OPENID_URL))
            .context("wechat.openid_url")
    }

    /// A simulator plays all of WeChat's hosts; the secrets of its apps must not go to WeChat.
    fn login_host(&self, set: Option<&str>, wechats: &str) -> String {
        let host = set.map(str::to_owned).or_else(|| self.simulator_url());
        host.unwrap_or_else(|| wechats.to_owned()).trim_end_matches('/').to_owned()
    }

    /// `MP_verify_….txt` by its name. It is served under that name, so it must be nothing else.
    pub(crate) fn verify_files(&self) -> anyhow::Result<BTreeMap<String, String>> {
        for (name, text) in &self.verify_files {
            let word = name.strip_prefix("MP_verify_").and_then(|rest| rest.strip_suffix(".txt"));
            let is_word = |word: &str| {
                (1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
            };
            ensure!(word.is_some_and(is_word), "wechat.verify_files: {name} is not named MP_verify_….txt");
            ensure!(
                (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()),
                "wechat.verify_files: {name} must have one word in it, as WeChat gave it"
            );
        }
        Ok(self.verify_files.clone())
    }

    /// The address, if it is not WeChat Pay's own: then pages say that no money moves.
    pub(crate) fn simulator_url(&self) -> Option<String> {
        let host = self.base_url.split_once("://").map_or(self.base_url.as_str(), |(_, host)| host);
        let host = host.split(['/', ':']).next().unwrap_or(host);
        let wechats = ["weixin.qq.com", "wechatpay.cn"];
        let is_wechats = wechats.iter().any(|domain| host.ends_with(&format!(".{domain}")));
        (!is_wechats).then(|| self.base_url.trim_end_matches('/').to_owned())
    }
}

impl Merchant {
    /// The merchant of a simulator, with the API key of its shop.
    pub fn simulated(display_name: &str, credentials: MerchantCredentials, api_key: &str) -> Self {
        let apps = credentials.apps.into_iter().map(|app| {
            let kind = match app.kind {
                simulator::AppKind::ServiceAccount => AppKind::ServiceAccount,
                simulator::AppKind::MiniProgram => AppKind::MiniProgram,
            };
            (app.appid, App { secret: Some(app.secret.into()), ..App::from(kind) })
        });
        Self {
            display_name: display_name.to_owned(),
            support: None,
            mchid: credentials.mchid,
            certificate_serial: credentials.certificate_serial,
            private_key: Some(credentials.private_key.into()),
            private_key_file: None,
            apiv3_key: Some(credentials.apiv3_key.into()),
            apiv3_key_file: None,
            previous_apiv3_key: None,
            previous_apiv3_key_file: None,
            public_key_id: Some(credentials.public_key_id),
            public_key: Some(credentials.public_key),
            public_key_file: None,
            platform_certificate_files: Vec::new(),
            out_trade_no_prefix: String::new(),
            calls_per_second: calls_per_second(),
            policies: worker::Policies::default(),
            apps: apps.collect(),
            origins: Vec::new(),
            api_key_hashes: vec![ApiKeyHash::of(api_key).to_hex()],
            webhooks: BTreeMap::new(),
        }
    }

    /// What the api may know.
    pub(crate) fn for_api(&self, name: &str) -> anyhow::Result<api::Merchant> {
        let key = |what: &str| format!("merchants.{name}.{what}");
        ensure!(
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-'),
            "merchants.{name}: a merchant's name is part of an address; use a-z, 0-9, _ and -"
        );
        ensure!(
            self.out_trade_no_prefix.len() <= 6
                && self.out_trade_no_prefix.bytes().all(|b| b.is_ascii_alphanumeric()),
            "{} must be at most six letters and digits",
            key("out_trade_no_prefix")
        );
        ensure!(!self.apps.is_empty(), "{} must name at least one app", key("apps"));
        ensure!(
            self.support.as_deref().is_none_or(is_short_line),
            "{} must be one line of at most {SUPPORT_CHARS_MAX} characters",
            key("support")
        );
        let api_keys = self.api_key_hashes.iter().map(|hash| {
            ApiKeyHash::from_hex(hash)
                .filter(|hash| *hash != ApiKeyHash::of(""))
                .with_context(|| format!("{} must be the SHA-256 of a key, in hex", key("api_key_hashes")))
        });
        let api_keys = api_keys.collect::<Result<_, _>>()?;
        let apps = self.apps.iter().map(|(id, app)| app.for_api(id, &key("apps")));
        let apps: Vec<_> = apps.collect::<Result<_, _>>()?;
        let is_account =
            |app: &&api::MerchantApp| app.kind == api::AppKind::ServiceAccount && app.login.is_some();
        ensure!(
            apps.iter().filter(is_account).count() <= 1,
            "{}: only one service account may have a secret; it is the one that payers in WeChat pay with",
            key("apps")
        );
        for origin in &self.origins {
            ensure!(
                is_origin(origin),
                "{}: {origin} is not an origin; write it as https://shop.example.com, in small letters, with the port if it is not the usual one, and nothing behind it",
                key("origins")
            );
        }
        Ok(api::Merchant {
            name: name.to_owned(),
            display_name: self.display_name.clone(),
            support: self.support.clone(),
            mchid: self.mchid.clone(),
            apps,
            trusted_keys: self.trusted_keys(name)?,
            api_keys,
            out_trade_no_prefix: self.out_trade_no_prefix.clone(),
            origins: self.origins.clone(),
        })
    }

    /// What the worker may know: the keys that sign and open.
    pub(crate) fn for_worker(
        &self,
        name: &str,
        public_url: &str,
        wechat: &WeChat,
        clocks: &Clocks,
    ) -> anyhow::Result<worker::Merchant> {
        let key = |what: &str| format!("merchants.{name}.{what}");
        let pem = secret(&key("private_key"), self.private_key.as_ref(), self.private_key_file.as_deref())?;
        let current = secret(&key("apiv3_key"), self.apiv3_key.as_ref(), self.apiv3_key_file.as_deref())?;
        let previous = optional_secret(
            &key("previous_apiv3_key"),
            self.previous_apiv3_key.as_ref(),
            self.previous_apiv3_key_file.as_deref(),
        )?;
        let apiv3_keys = std::iter::once(current)
            .chain(previous)
            .map(|text| ApiV3Key::new(text.trim()).with_context(|| key("apiv3_key")));
        let (clock, clocks) = (clocks.own().clone(), clocks.clone());
        let environment = Environment {
            now: std::sync::Arc::new(move || clock.now().unix_seconds()),
            ..Environment::system()
        };
        let client = Client::new(wechatpay::Config {
            base_url: wechat.base_url.trim_end_matches('/').to_owned(),
            backup_url: wechat.backup_url(),
            merchant: wechatpay::Merchant {
                mchid: self.mchid.clone(),
                certificate_serial: self.certificate_serial.clone(),
                private_key: PrivateKey::from_pem(&pem).with_context(|| key("private_key"))?,
            },
            trusted_keys: self.trusted_keys(name)?,
            environment: environment.clone(),
            user_agent: format!("everpaid/{}", env!("CARGO_PKG_VERSION")),
            observer: std::sync::Arc::new(move |call| api::metrics::observe_call(call, &clocks)),
        })?;
        let mini_programs = self.apps.iter().filter(|(_, app)| app.kind == AppKind::MiniProgram);
        let mini_programs = mini_programs.map(|(id, app)| app.login(id, &key("apps")));
        Ok(worker::Merchant {
            client,
            shipping: wechat.shipping()?,
            mini_programs: mini_programs.filter_map(Result::transpose).collect::<Result<_, _>>()?,
            apiv3_keys: apiv3_keys.collect::<Result<_, _>>()?,
            environment,
            budget: worker::Budget::per_second(self.calls_per_second),
            webhooks: self
                .webhooks
                .iter()
                .map(|(endpoint, webhook)| {
                    let at = format!("merchants.{name}.webhooks.{endpoint}");
                    webhook.for_worker(endpoint, &at)
                })
                .collect::<Result<_, _>>()?,
            identity: self.identity(name, public_url),
            policies: self.policies,
        })
    }

    /// How WeChat Pay and we know what is this merchant's own.
    pub(crate) fn identity(&self, name: &str, public_url: &str) -> worker::Identity {
        worker::Identity {
            out_trade_no_prefix: self.out_trade_no_prefix.clone(),
            notify_url: api::notify_url(public_url, name),
        }
    }

    fn trusted_keys(&self, name: &str) -> anyhow::Result<TrustedKeys> {
        let key = |what: &str| format!("merchants.{name}.{what}");
        let public_key = match (&self.public_key, &self.public_key_file) {
            (Some(_), Some(_)) => bail!("{0} and {0}_file are both set", key("public_key")),
            (Some(pem), None) => Some(pem.clone()),
            (None, Some(file)) => Some(read_file(&key("public_key_file"), file)?),
            (None, None) => None,
        };
        let trusted = match (&self.public_key_id, public_key) {
            (Some(id), Some(pem)) => {
                TrustedKeys::with_public_key(id, &pem).with_context(|| key("public_key"))?
            }
            (None, None) => TrustedKeys::new(),
            _ => bail!("{} and {} belong together", key("public_key_id"), key("public_key")),
        };
        for file in &self.platform_certificate_files {
            let pem = read_file(&key("platform_certificate_files"), file)?;
            trusted.add_certificate(&pem).with_context(|| format!("reading {}", file.display()))?;
        }
        ensure!(
            self.public_key_id.is_some() || !self.platform_certificate_files.is_empty(),
            "merchants.{name}: set public_key_id and public_key, or platform_certificate_files: without them nothing WeChat Pay says can be believed"
        );
        Ok(trusted)
    }
}

impl App {
    /// The app with its secret, if there is one.
    fn login(&self, id: &str, at: &str) -> anyhow::Result<Option<openid::App>> {
        let name = format!("{at}.{id}.secret");
        let secret = optional_secret(&name, self.secret.as_ref(), self.secret_file.as_deref())?;
        ensure!(secret.as_ref().is_none_or(|secret| !secret.is_empty()), "{name} is empty");
        Ok(secret.map(|secret| openid::App { app_id: id.to_owned(), secret: secret.into() }))
    }

    fn for_api(&self, id: &str, at: &str) -> anyhow::Result<api::MerchantApp> {
        Ok(api::MerchantApp {
            id: id.to_owned(),
            kind: match self.kind {
                AppKind::ServiceAccount => api::AppKind::ServiceAccount,
                AppKind::MiniProgram => api::AppKind::MiniProgram,
            },
            login: self.login(id, at)?,
        })
    }
}

impl From<AppKind> for App {
    fn from(kind: AppKind) -> Self {
        Self { kind, secret: None, secret_file: None }
    }
}

impl<'de> Deserialize<'de> for App {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            kind: AppKind,
            secret: Option<Secret>,
            secret_file: Option<PathBuf>,
        }
        struct KindOrTable;
        impl<'de> Visitor<'de> for KindOrTable {
            type Value = App;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("service_account, mini_program, or a table with kind and secret")
            }

            fn visit_str<E: Error>(self, kind: &str) -> Result<App, E> {
                AppKind::deserialize(StrDeserializer::new(kind)).map(App::from)
            }

            fn visit_map<M: MapAccess<'de>>(self, table: M) -> Result<App, M::Error> {
                let Table { kind, secret, secret_file } =
                    Table::deserialize(MapAccessDeserializer::new(table))?;
                Ok(App { kind, secret, secret_file })
            }
        }
        deserializer.deserialize_any(KindOrTable)
    }
}

/// More than that is no telephone number, and would push the buttons off a phone's screen.
const SUPPORT_CHARS_MAX: usize = 80;

fn is_short_line(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= SUPPORT_CHARS_MAX
        && !text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// Is it an origin as browsers write it, and one that nobody on the way can speak for?
fn is_origin(text: &str) -> bool {
    text.parse::<reqwest::Url>().is_ok_and(|url| {
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_here);
        // A pattern would be taken for a name, and match nothing.
        is_safe && !text.contains('*') && url.origin().ascii_serialization() == text
    })
}

impl Webhook {
    /// An endpoint on a network of our own that is told everything.
    pub fn private(url: &str, secret: &str) -> Self {
        Self {
            url: url.to_owned(),
            secret: Some(secret.to_owned().into()),
            secret_file: None,
            previous_secret: None,
            previous_secret_file: None,
            events: None,
            allow_private_addresses: true,
        }
    }

    fn for_worker(&self, name: &str, at: &str) -> anyhow::Result<Endpoint> {
        ensure!(
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
            "{at}: use letters, digits, _ and - in the name of an endpoint"
        );
        let url: reqwest::Url = self.url.parse().with_context(|| format!("{at}.url is not an address"))?;
        ensure!(
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none(),
            "{at}.url must not contain a user, a password or a fragment"
        );
        match url.scheme() {
            "https" => {}
            "http" if self.allow_private_addresses => {}
            "http" => bail!("{at}.url must be https, unless allow_private_addresses is set"),
            _ => bail!("{at}.url must be https"),
        }
        let current = secret(&format!("{at}.secret"), self.secret.as_ref(), self.secret_file.as_deref())?;
        let previous = optional_secret(
            &format!("{at}.previous_secret"),
            self.previous_secret.as_ref(),
            self.previous_secret_file.as_deref(),
        )?;
        let secrets = std::iter::once((current, "secret"))
            .chain(previous.map(|text| (text, "previous_secret")))
            .map(|(text, key)| text.parse().with_context(|| format!("{at}.{key}")));
        let endpoint = Endpoint {
            name: name.to_owned(),
            url,
            secrets: secrets.collect::<Result<_, _>>()?,
            events: self.kinds(at)?,
            allow_private_addresses: self.allow_private_addresses,
        };
        ensure!(
            endpoint.is_allowed(),
            "{at}.url leads to an address that is not public; set allow_private_addresses if that is meant"
        );
        Ok(endpoint)
    }

    fn kinds(&self, at: &str) -> anyhow::Result<Vec<Kind>> {
        let Some(words) = &self.events else { return Ok(Kind::iter().collect()) };
        ensure!(!words.is_empty(), "{at}.events is empty; leave it out to be told of everything");
        let known = || Kind::iter().map(Kind::word).collect::<Vec<_>>().join(", ");
        let kinds = words.iter().map(|word| {
            Kind::from_word(word).with_context(|| format!("{at}.events: {word} is none of {}", known()))
        });
        kinds.collect()
    }
}

fn secret(name: &str, value: Option<&Secret>, file: Option<&Path>) -> anyhow::Result<String> {
    optional_secret(name, value, file)?.with_context(|| format!("{name} (or {name}_file) is not set"))
}

fn optional_secret(
    name: &str,
    value: Option<&Secret>,
    file: Option<&Path>,
) -> anyhow::Result<Option<String>> {
    match (value, file) {
        (Some(_), Some(_)) => bail!("{name} and {name}_file are both set"),
        (Some(secret), None) => Ok(Some(secret.0.clone())),
        (None, Some(file)) => Ok(Some(read_file(&format!("{name}_file"), file)?.trim().to_owned())),
        (None, None) => Ok(None),
    }
}

fn read_file(name: &str, file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{name}: reading {}", file.display()))
}

/// A text that looks like a number in an environment variable is still a text.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Lenient {
        Text(String),
        Number(u64),
    }
    Ok(match Lenient::deserialize(deserializer)? {
        Lenient::Text(text) => text,
        Lenient::Number(number) => number.to_string(),
    })
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer).map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The error without the value that caused it, which may be a secret.
fn describe(error: &figment::Error) -> String {
    use figment::error::Kind;
    let path = error.path.join(".");
    let under = if path.is_empty() { String::new() } else { format!(" under `{path}`") };
    match &error.kind {
        Kind::UnknownField(_, known) => format!("unknown key `{path}`; known are {}", known.join(", ")),
        Kind::MissingField(name) => format!("missing key `{name}`{under}"),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("`{path}` must be {expected}")
        }
        Kind::Message(message) if path.is_empty() => message.clone(),
        Kind::Message(_) => format!("`{path}` has a value that cannot be used"),
        other => format!("{other}{under}"),
    }
}

/// Where the key stands in the file, as far as its name tells.
fn line_of(error: &figment::Error, toml: &str) -> Option<usize> {
    use figment::error::Kind;
    let name = match &error.kind {
        Kind::UnknownField(name, _) => name.as_str(),
        _ => error.path.last()?.as_str(),
    };
    let names_it = |line: &str| {
        let line = line.trim_start();
        let key = line.trim_start_matches('[').split(['=', ']']).next().unwrap_or_default().trim();
        !line.starts_with('#') && (key == name || key.ends_with(&format!(".{name}")))
    };
    toml.lines().position(names_it).map(|at| at + 1)
}

#[cfg(test)]
mod tests;
