//! What a merchant or WeChat Pay changes in a contract while both are running.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    credentials::{
        ApiCertificate, CertificateState, Credentials, PlatformCertificate, new_private_key, random_text,
    },
    payer::ControlError,
    signing::{Keys, TrustMode},
    wechat::Wechat,
};

/// A change, made by `POST /_sim/merchant` or [`crate::Simulator::change_merchant`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum MerchantChange {
    /// From now on; a migration and a replacement of the platform certificate exclude each other.
    Mode { mode: TrustMode },
    /// 32 letters or digits, new ones if absent. Takes effect at once, also for what was to be sent.
    #[serde(rename = "apiv3_key")]
    ApiV3Key {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        apiv3_key: Option<String>,
    },
    /// One more API certificate; those there were stay as they are.
    IssueCertificate {},
    /// Revokes an API certificate, ends it before its time, or makes it live again.
    SetCertificate { serial: String, state: CertificateState },
    /// A second platform certificate, listed at once. It signs at once, or after a span on the
    /// simulator's clock.
    IssuePlatformCertificate {
        #[serde(default)]
        signs_after_seconds: u32,
    },
    /// Ends the wait for the newer platform certificate.
    SignWithNewPlatformCertificate {},
    /// Ends the replacement: the older platform certificate is no longer listed.
    DropOldPlatformCertificate {},
}

/// The two clocks a change needs, in Unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// By the simulator's clock.
    pub now: i64,
    /// By the clock that both sides date their signatures with.
    pub dated: i64,
}

impl MerchantChange {
    /// The credentials after it; CPU-bound, for it may make a key.
    pub(crate) fn apply(self, mut to: Credentials, at: Moment) -> Result<Credentials, ControlError> {
        let refuse = |why: &str| Err(ControlError::Refused(why.to_owned()));
        let is_replacing = to.platform_certificates.len() > 1;
        match self {
            Self::Mode { mode: TrustMode::Migrating } if is_replacing => {
                return refuse("a platform certificate is being replaced: drop the old one first");
            }
            Self::Mode { mode } => to.mode = mode,
            Self::ApiV3Key { apiv3_key } => {
                let key = apiv3_key.unwrap_or_else(|| random_text(32));
                if key.len() != 32 || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return Err(ControlError::Invalid("an APIv3 key is 32 letters or digits".into()));
                }
                to.apiv3_key = key;
            }
            Self::IssueCertificate {} => {
                to.api_certificates.push(ApiCertificate::issue(new_private_key()?, at.dated)?);
            }
            Self::SetCertificate { serial, state } => {
                let one = to.api_certificates.iter_mut().find(|one| one.certified.serial == serial);
                let none = || ControlError::NotFound(format!("no API certificate {serial}"));
                one.ok_or_else(none)?.state = state;
            }
            Self::IssuePlatformCertificate { signs_after_seconds } => {
                match to.mode {
                    TrustMode::Certificate => {}
                    TrustMode::Migrating => {
                        return refuse("while migrating, no platform certificate is replaced");
                    }
                    TrustMode::PublicKey => return refuse("in mode public_key there are none"),
                }
                if is_replacing {
                    return refuse("one is being replaced: drop the old one first");
                }
                let signs_from = at.now.saturating_add(i64::from(signs_after_seconds) * 1000);
                let key = new_private_key()?;
                to.platform_certificates.push(PlatformCertificate::issue(key, at.dated, signs_from)?);
            }
            Self::SignWithNewPlatformCertificate {} | Self::DropOldPlatformCertificate {}
                if !is_replacing =>
            {
                return refuse("no platform certificate is being replaced");
            }
            Self::SignWithNewPlatformCertificate {} => {
                if let Some(newest) = to.platform_certificates.last_mut() {
                    newest.signs_from_ms = newest.signs_from_ms.min(at.now);
                }
            }
            Self::DropOldPlatformCertificate {} => {
                if to.platform_certificates.last().is_some_and(|newest| newest.signs_from_ms > at.now) {
                    return refuse("the newer one does not sign yet");
                }
                to.platform_certificates.remove(0);
            }
        }
        Ok(to)
    }
}

impl Wechat {
    /// Changes a merchant's contract, in memory and in the file.
    pub(crate) async fn change_merchant(
        self: &Arc<Self>,
        mchid: &str,
        change: MerchantChange,
    ) -> Result<Arc<Keys>, ControlError> {
        let at = Moment { now: self.now(), dated: self.clock.signing_ms() };
        let (wechat, mchid) = (Arc::clone(self), mchid.to_owned());
        // A task of its own: file and memory must not part when the caller hangs up.
        let changed = self.tasks.spawn(async move {
            wechat.merchants.change(&wechat.store, &mchid, move |before| change.apply(before, at)).await
        });
        changed.await.map_err(anyhow::Error::from)?
    }
}
