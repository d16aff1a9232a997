//! The download of platform certificates.

use std::collections::HashMap;

use axum::extract::Query;
use http::{StatusCode, request::Parts};
use serde_json::json;

use super::{Reply, broken};
use crate::{
    clock::rfc3339,
    signing::{Keys, TrustMode},
    wechat::Wechat,
    wire::answer::Refusal,
};

/// The most that WeChat Pay answers a merchant in a second.
pub(crate) const CALLS_PER_SECOND: u32 = 1000;

impl Wechat {
    /// Every live platform certificate, each sealed with the APIv3 key.
    pub(super) fn list_certificates(&self, parts: &Parts, keys: &Keys) -> Result<Reply, Refusal> {
        const KIND: &str = "certificate";
        if !self.certificate_calls.allows(keys.mchid(), self.clock.signing_ms()) {
            return Err(Refusal::too_frequent());
        }
        let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri);
        let algorithm = query.ok().and_then(|Query(mut query)| query.remove("algorithm_type"));
        let has_rsa = match algorithm.as_deref() {
            None | Some("RSA" | "ALL") => true,
            Some("SM2") => false,
            Some(_) => {
                return Err(Refusal::param("algorithm_type只能是RSA、SM2或ALL").in_query("algorithm_type"));
            }
        };
        if keys.mode() == TrustMode::PublicKey || !has_rsa {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "RESOURCE_NOT_EXISTS",
                "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥",
                0,
            ));
        }
        let listed = keys.platform().iter().map(|platform| {
            let sealed = keys.seal(KIND, platform.pem.as_bytes())?;
            anyhow::Ok(json!({
                "serial_no": platform.serial(),
                "effective_time": rfc3339(platform.effective_at),
                "expire_time": rfc3339(platform.expires_at),
                "encrypt_certificate": {
                    "algorithm": "AEAD_AES_256_GCM",
                    "nonce": sealed.nonce,
                    "associated_data": KIND,
                    "ciphertext": sealed.ciphertext,
                },
            }))
        });
        let listed = listed.collect::<anyhow::Result<Vec<_>>>().map_err(|error| broken(&error))?;
        Ok(Reply::json(StatusCode::OK, &json!({"data": listed})))
    }
}
