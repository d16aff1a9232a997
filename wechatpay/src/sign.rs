//! What the merchant signs: requests, and the parameters with which a page opens the cashier.
//!
//! RSASSA-PKCS1-v1_5 with SHA-256, Base64 with padding
//! (WeChat Pay documentation, 签名与验签规则).
//! A signature costs a quarter of a millisecond of CPU: keep it off the async threads.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::{Environment, Merchant, PrivateKey};

#[cfg(test)]
mod tests;

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";

/// The value of the `Authorization` header for one attempt of one request.
///
/// `target` is the request target as it goes on the wire: path, and `?` with the query when
/// there is one, already percent-encoded. `body` is the bytes that will be sent, empty for GET.
/// Every attempt needs its own call, because WeChat refuses a signature older than five minutes.
///
/// # Errors
/// [`SignError`] when the key cannot sign.
pub fn authorization(
    merchant: &Merchant,
    method: &str,
    target: &str,
    body: &[u8],
    environment: &Environment,
) -> Result<String, SignError> {
    let timestamp = (environment.now)();
    let nonce = (environment.nonce)();
    let message = request_message(method, target, timestamp, &nonce, body);
    let signature = signature(&merchant.private_key, &message)?;
    let Merchant { mchid, certificate_serial, .. } = merchant;
    let serial = certificate_serial.to_ascii_uppercase();
    Ok(format!(
        r#"{SCHEME} mchid="{mchid}",nonce_str="{nonce}",signature="{signature}",timestamp="{timestamp}",serial_no="{serial}""#
    ))
}

/// Five lines, each ended by LF: method, target, time, nonce, body.
fn request_message(method: &str, target: &str, timestamp: i64, nonce: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{method}\n{target}\n{timestamp}\n{nonce}\n").into_bytes();
    message.extend_from_slice(body);
    message.push(b'\n');
    message
}

/// The parameters with which a page or a mini-program opens the cashier, as JSON exactly
/// `{appId, timeStamp, nonceStr, package, signType, paySign}` and every value a string
/// (WeChat Pay documentation, JSAPI调起支付).
///
/// They may reach the payer; nothing else that is signed may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallUp {
    /// The app id of the order; a mini-program ignores it.
    pub app_id: String,
    /// Unix time in seconds, as text.
    pub time_stamp: String,
    /// 32 characters.
    pub nonce_str: String,
    /// `prepay_id=` and the id.
    pub package: String,
    /// Always `RSA`. Not covered by the signature.
    pub sign_type: String,
    /// The signature.
    pub pay_sign: String,
}

impl Merchant {
    /// Signs the parameters that open the cashier for `prepay_id`.
    ///
    /// It must be the key that signed the order, or the cashier refuses.
    ///
    /// # Errors
    /// [`SignError`] when the key cannot sign.
    pub fn call_up(
        &self,
        app_id: &str,
        prepay_id: &str,
        environment: &Environment,
    ) -> Result<CallUp, SignError> {
        let time_stamp = (environment.now)().to_string();
        let nonce_str = (environment.nonce)();
        let package = format!("prepay_id={prepay_id}");
        let message = call_up_message(app_id, &time_stamp, &nonce_str, &package);
        Ok(CallUp {
            app_id: app_id.to_owned(),
            pay_sign: signature(&self.private_key, message.as_bytes())?,
            time_stamp,
            nonce_str,
            package,
            sign_type: "RSA".to_owned(),
        })
    }
}

/// Four lines, each ended by LF.
fn call_up_message(app_id: &str, time_stamp: &str, nonce_str: &str, package: &str) -> String {
    format!("{app_id}\n{time_stamp}\n{nonce_str}\n{package}\n")
}

fn signature(key: &PrivateKey, message: &[u8]) -> Result<String, SignError> {
    let pair = key.pair();
    let mut bytes = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut bytes).map_err(|_| SignError)?;
    Ok(STANDARD.encode(bytes))
}

/// The private key could not sign. Not seen with a key that was accepted when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the merchant's private key could not sign")]
pub struct SignError;
