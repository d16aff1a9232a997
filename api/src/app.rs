//! What every request may use.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use entity::{Db, Timestamp, payment::Method};
use tokio_util::sync::CancellationToken;
use wechatpay::{OpenidClient, TrustedKeys, openid};

use crate::{
    Clocks,
    intake::Intake,
    notifications::Rejected,
    secrets::{ApiKeyHash, LinkKeys},
};

/// What the api is told at the start.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// Where payers and WeChat Pay reach us, without a slash at the end.
    pub public_url: String,
    pub merchants: Vec<Merchant>,
    pub link_keys: LinkKeys,
    /// The simulator's address, when that is what WeChat Pay is here; pages then say so.
    pub simulator_url: Option<String>,
    /// Where payers are sent to say who they are: scheme and host, `https://open.weixin.qq.com`.
    pub open_url: String,
    /// Where their codes are exchanged.
    pub openids: OpenidClient,
    /// `MP_verify_….txt` and what is in it: how WeChat is shown whose host this is.
    pub verify_files: BTreeMap<String, String>,
}

impl AppSettings {
    pub(crate) fn checkout_url(&self, client_secret: &str) -> String {
        format!("{}/pay/{client_secret}", self.public_url)
    }
}

/// A merchant as the api knows it: enough to write an order down, to know WeChat Pay by its
/// signature and to ask WeChat who a payer is, and no private key.
#[derive(Clone, Debug)]
pub struct Merchant {
    pub name: String,
    /// What payers read.
    pub display_name: String,
    /// How they reach the merchant when something is unclear: a few words, such as a telephone number.
    pub support: Option<String>,
    pub mchid: String,
    pub apps: Vec<MerchantApp>,
    pub trusted_keys: TrustedKeys,
    pub api_keys: Vec<ApiKeyHash>,
    /// Up to six characters before the number of a payment, for a mchid that others use too.
    pub out_trade_no_prefix: String,
    /// Whose pages may call the api from a browser and be given the payer back:
    /// `https://shop.example.com`.
    pub origins: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct MerchantApp {
    pub id: String,
    pub kind: AppKind,
    /// The app with its secret, if that is known: then WeChat can be asked who a payer is.
    pub login: Option<openid::App>,
}

/// Where an app id of WeChat lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppKind {
    ServiceAccount,
    MiniProgram,
}

/// The state of the router. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    settings: AppSettings,
    by_name: HashMap<String, usize>,
    by_api_key: HashMap<ApiKeyHash, usize>,
    intake: Intake,
    rejected: Rejected,
    clocks: Clocks,
    ending: Ending,
}

/// How a process says that it ends.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// It is to be sent no more requests, and answers those that come.
    pub leaving: CancellationToken,
    /// Ends the streams that would otherwise never end.
    pub stopping: CancellationToken,
}

impl App {
    /// Starts what the routes need.
    pub fn new(db: Db, settings: AppSettings, clocks: Clocks, ending: Ending) -> Self {
        let merchants = || settings.merchants.iter().enumerate();
        Self(Arc::new(Inner {
            by_name: merchants().map(|(at, merchant)| (merchant.name.clone(), at)).collect(),
            by_api_key: merchants()
                .flat_map(|(at, merchant)| merchant.api_keys.iter().map(move |key| (key.clone(), at)))
                .collect(),
            intake: Intake::start(&db),
            rejected: Rejected::default(),
            db,
            settings,
            clocks,
            ending,
        }))
    }

    pub(crate) fn clocks(&self) -> &Clocks {
        &self.0.clocks
    }

    pub(crate) fn db(&self) -> &Db {
        &self.0.db
    }

    /// Now, on this process' own watch.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.db.clock().now()
    }

    pub(crate) fn settings(&self) -> &AppSettings {
        &self.0.settings
    }

    /// Comes back only when a part of it has ended that never should.
    pub async fn failed(&self) {
        self.0.intake.ended().await;
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.0.intake
    }

    pub(crate) fn rejected(&self) -> &Rejected {
        &self.0.rejected
    }

    pub(crate) fn ending(&self) -> &Ending {
        &self.0.ending
    }

    pub(crate) fn merchant(&self, name: &str) -> Option<&Merchant> {
        self.0.by_name.get(name).map(|at| &self.0.settings.merchants[*at])
    }

    pub(crate) fn merchant_by_api_key(&self, key: &str) -> Option<&Merchant> {
        let at = self.0.by_api_key.get(&ApiKeyHash::of(key))?;
        Some(&self.0.settings.merchants[*at])
    }
}

/// Where WeChat Pay tells of a merchant's payments and refunds.
pub fn notify_url(public_url: &str, merchant: &str) -> String {
    format!("{public_url}/v1/wechat/notifications/{merchant}")
}

impl Merchant {
    pub(crate) fn notify_url(&self, public_url: &str) -> String {
        notify_url(public_url, &self.name)
    }

    pub(crate) fn app(&self, id: &str) -> Option<&MerchantApp> {
        self.apps.iter().find(|app| app.id == id)
    }

    /// The official account 公众号 that pays in the WeChat browser; there is one at most that has a
    /// secret.
    pub(crate) fn official_account(&self) -> Option<&MerchantApp> {
        self.apps.iter().find(|app| app.kind == AppKind::ServiceAccount && app.login.is_some())
    }

    /// The app that a payment is made with: the one that was named, or the only one there can be.
    pub(crate) fn app_for(&self, method: Method, named: Option<&str>) -> Option<&MerchantApp> {
        match (named, method, self.apps.as_slice()) {
            (Some(id), _, _) => self.app(id),
            // A QR code is bound to no app; any of the merchant's will do.
            (None, Method::Native, [first, ..]) => Some(first),
            (None, Method::MiniProgram, [only]) => Some(only),
            (None, _, _) => None,
        }
    }
}
