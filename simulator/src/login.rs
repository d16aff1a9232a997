//! Who somebody is: codes from the OAuth page and from `wx.login`, and what they are worth.
//!
//! A code names a person to one app, once, for five minutes.

use reqwest::Url;
use sea_orm::DbErr;

use crate::{
    credentials::{App, random_text},
    payers::Payer,
    store,
    wechat::Wechat,
};

const CODE_LIFE_MS: i64 = 5 * 60_000;
/// How long a used code is still told from one that never was.
const CODE_KEPT_MS: i64 = 24 * 60 * 60_000;

#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub code: String,
    pub door: Door,
    pub appid: String,
    /// [`Payer::id`].
    pub payer: String,
    pub issued_at: i64,
    pub used_at: Option<i64>,
}

/// How somebody logged in; a code from one door opens no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// OAuth with `snsapi_base`: silent, the openid only.
    WebBase,
    /// OAuth with `snsapi_userinfo`: the payer agreed to more.
    WebUserinfo,
    /// `wx.login`.
    MiniProgram,
}

/// Why a code is worth nothing.
#[derive(Debug)]
pub(crate) enum BadCode {
    /// Never given, given to another app or by another door, or too old.
    Unknown,
    Used,
    Store(DbErr),
}

impl Door {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebBase => "web_base",
            Self::WebUserinfo => "web_userinfo",
            Self::MiniProgram => "mini_program",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::WebBase, Self::WebUserinfo, Self::MiniProgram].into_iter().find(|door| door.name() == name)
    }

    pub(crate) fn scope(self) -> &'static str {
        match self {
            Self::WebUserinfo => "snsapi_userinfo",
            Self::WebBase | Self::MiniProgram => "snsapi_base",
        }
    }

    pub(crate) fn of_scope(scope: &str) -> Option<Self> {
        match scope {
            "snsapi_base" => Some(Self::WebBase),
            "snsapi_userinfo" => Some(Self::WebUserinfo),
            _ => None,
        }
    }
}

impl Code {
    fn payer(&self) -> Result<&'static Payer, BadCode> {
        Payer::find(&self.payer).ok_or(BadCode::Unknown)
    }
}

impl Wechat {
    /// The app with this id, whosever it is.
    pub(crate) fn app(&self, appid: &str) -> Option<App> {
        self.merchants.all().find_map(|keys| {
            let apps = &keys.merchant().apps;
            apps.iter().find(|app| app.appid == appid).cloned()
        })
    }

    /// 网页授权域名: the very host, neither its parent nor its child.
    pub(crate) fn allows_redirect_to(&self, target: &Url) -> bool {
        self.redirect_domains.is_empty()
            || target.host_str().is_some_and(|host| self.redirect_domains.iter().any(|one| one == host))
    }

    pub(crate) async fn issue_code(&self, door: Door, app: &App, payer: &Payer) -> Result<String, DbErr> {
        let now = self.now();
        let code = Code {
            code: format!("0{}", random_text(31)),
            door,
            appid: app.appid.clone(),
            payer: payer.id.to_owned(),
            issued_at: now,
            used_at: None,
        };
        let txn = self.store.begin().await?;
        store::forget_login_codes(&txn, now - CODE_KEPT_MS).await?;
        store::insert_login_code(&txn, &code).await?;
        txn.commit().await?;
        Ok(code.code)
    }

    /// Uses a code up, and says by which of these doors who came.
    pub(crate) async fn redeem_code(
        &self,
        code: &str,
        app: &App,
        doors: &[Door],
    ) -> Result<(Door, &'static Payer), BadCode> {
        let now = self.now();
        let txn = self.store.begin().await?;
        let known = store::find_login_code(&txn, code)
            .await?
            .filter(|known| known.appid == app.appid && doors.contains(&known.door))
            .ok_or(BadCode::Unknown)?;
        if known.used_at.is_some() {
            return Err(BadCode::Used);
        }
        if now >= known.issued_at + CODE_LIFE_MS {
            return Err(BadCode::Unknown);
        }
        store::mark_login_code_used(&txn, code, now).await?;
        txn.commit().await?;
        Ok((known.door, known.payer()?))
    }
}

impl From<DbErr> for BadCode {
    fn from(error: DbErr) -> Self {
        Self::Store(error)
    }
}
