//! Which merchants there are, in a small TOML file.
//!
//! It names them and their apps; keys are made, never written there.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::{credentials::AppKind, signing::TrustMode};

/// The file behind `everpaid simulator --config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// In the order in which they are listed; the first is meant when nobody says which.
    pub merchants: Vec<MerchantConfig>,
}

/// A merchant with a contract.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MerchantConfig {
    /// 1 to 32 digits.
    pub mchid: String,
    /// What the payer reads; absent: 商户 and the mchid.
    pub name: Option<String>,
    /// How it begins, 微信支付公钥 if absent; a merchant known from the data file goes on as it was.
    pub mode: Option<TrustMode>,
    /// Of its API certificate, 40 hex digits that begin with 1 to 7; absent: a new one. As the next one,
    /// for a configuration that has to know it before the keys are made; a merchant from the data file
    /// keeps its own.
    pub certificate_serial: Option<String>,
    /// `PUB_KEY_ID_` and digits; absent: a new one.
    pub public_key_id: Option<String>,
    pub apps: Vec<AppConfig>,
}

/// An application bound to the merchant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppConfig {
    /// `wx` and 16 letters or digits.
    pub appid: String,
    pub kind: AppKind,
    /// Absent: the one in the data file, or a new one.
    pub secret: Option<String>,
}

impl Config {
    /// Reads it; a mistake is told with its line, or with the merchant it is about.
    pub fn parse(toml: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(toml).context("reading the simulator's configuration")?;
        ensure!(!config.merchants.is_empty(), "the configuration names no merchant");
        check(&config.merchants)?;
        Ok(config)
    }
}

/// Everything that is wrong with merchants that can be told from their names.
pub(crate) fn check(merchants: &[MerchantConfig]) -> anyhow::Result<()> {
    let mut mchids = HashSet::new();
    for merchant in merchants {
        let mchid = &merchant.mchid;
        ensure!(
            (1..=32).contains(&mchid.len()) && mchid.bytes().all(|digit| digit.is_ascii_digit()),
            "mchid {mchid:?} is not 1 to 32 digits"
        );
        ensure!(mchids.insert(mchid), "two merchants have the mchid {mchid}");
        ensure!(merchant.name.as_deref() != Some(""), "merchant {mchid} has an empty name");
        if let Some(serial) = &merchant.certificate_serial {
            let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
            ensure!(
                serial.len() == 40
                    && serial.bytes().all(is_hex)
                    && matches!(serial.as_bytes()[0], b'1'..=b'7'),
                "certificate_serial {serial:?} of merchant {mchid} is not 40 hex digits that begin with 1 to 7"
            );
        }
        if let Some(id) = &merchant.public_key_id {
            let digits = id.strip_prefix("PUB_KEY_ID_").unwrap_or_default();
            ensure!(
                (1..=40).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()),
                "public_key_id {id:?} of merchant {mchid} is not PUB_KEY_ID_ and digits"
            );
        }
        ensure!(!merchant.apps.is_empty(), "merchant {mchid} has no app");
        let mut appids = HashSet::new();
        for app in &merchant.apps {
            let appid = &app.appid;
            let rest = appid.strip_prefix("wx").unwrap_or_default();
            ensure!(
                rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "appid {appid:?} of merchant {mchid} is not wx and 16 letters or digits"
            );
            ensure!(appids.insert(appid), "merchant {mchid} has the app {appid} twice");
            ensure!(app.secret.as_deref() != Some(""), "the app {appid} has an empty secret");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[merchants]]
        mchid = "1900000001"
        name = "山茶小铺"
        mode = "migrating"
        apps = [{ appid = "wx0000000000000001", kind = "service_account" }]

        [[merchants]]
        mchid = "1900000002"
        certificate_serial = "5157F09EFDC096DE15EBE81A47057A7200000000"
        public_key_id = "PUB_KEY_ID_0119000000020000"
        apps = [{ appid = "wx0000000000000001", kind = "mini_program", secret = "s" }]
    "#;

    #[test]
    fn a_few_lines_name_two_merchants_of_one_app() {
        let config = Config::parse(GOOD).unwrap();
        let [first, second] = &config.merchants[..] else { panic!("{config:?}") };
        assert_eq!(first.mode, Some(TrustMode::Migrating));
        assert_eq!((second.name.as_deref(), second.mode), (None, None));
        assert_eq!(second.apps[0].secret.as_deref(), Some("s"));
    }

    #[test]
    fn a_mistake_is_told_where_it_is() {
        for (from, to, told) in [
            ("name =", "nam =", "unknown field `nam`"),
            ("secret =", "password =", "unknown field `password`"),
            ("\"migrating\"", "\"both\"", "unknown variant `both`"),
            ("\"mini_program\"", "\"mini\"", "unknown variant `mini`"),
            ("1900000002", "1900000001", "two merchants have the mchid 1900000001"),
            ("1900000002", "19x", "mchid \"19x\" is not"),
            ("wx0000000000000001\", kind = \"mini", "wx1\", kind = \"mini", "appid \"wx1\" of merchant"),
            ("\"s\"", "\"\"", "empty secret"),
            ("山茶小铺", "", "empty name"),
            ("5157F0", "9157F0", "is not 40 hex digits"),
            ("5157F0", "5157f0", "is not 40 hex digits"),
            ("5157F0", "5157", "is not 40 hex digits"),
            ("PUB_KEY_ID_", "KEY_", "is not PUB_KEY_ID_ and digits"),
        ] {
            let error = format!("{:#}", Config::parse(&GOOD.replace(from, to)).unwrap_err());
            assert!(error.contains(told), "{error} does not say {told}");
        }
        for (text, told) in [
            ("merchants = []", "names no merchant"),
            ("", "missing field `merchants`"),
            ("[[merchants]]\nmchid = \"1\"\napps = []", "has no app"),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(told), "{error} does not say {told}");
        }
    }
}
