//! The download of platform certificates.

use http::StatusCode;
use serde_json::json;

use super::{Reply, broken};
use crate::{
    clock::rfc3339,
    signing::{Keys, TrustMode},
    wire::answer::Refusal,
};

/// Every live platform certificate, sealed with the APIv3 key.
pub(super) fn list(keys: &Keys) -> Result<Reply, Refusal> {
    if keys.mode() == TrustMode::PublicKey {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "RESOURCE_NOT_EXISTS",
            "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥",
            0,
        ));
    }
    const KIND: &str = "certificate";
    let platform = keys.platform();
    let sealed = keys.seal(KIND, platform.pem.as_bytes()).map_err(|error| broken(&error))?;
    let body = json!({"data": [{
        "serial_no": platform.serial,
        "effective_time": rfc3339(platform.effective_at),
        "expire_time": rfc3339(platform.expires_at),
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": sealed.nonce,
            "associated_data": KIND,
            "ciphertext": sealed.ciphertext,
        },
    }]});
    Ok(Reply::json(StatusCode::OK, &body))
}
