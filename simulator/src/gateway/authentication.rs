//! Who is speaking: the merchant whose key signed the request.

use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, header, request::Parts};
use tracing::debug;

use super::broken;
use crate::{
    credentials::CertificateState,
    signing::{Keys, NotTheMerchant},
    wechat::Wechat,
    wire::{
        answer::Refusal,
        authorization::{Authorization, Malformed},
    },
};

/// Which front of WeChat Pay a call comes to: they were observed to refuse in different words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    Transactions,
    Refunds,
    Bills,
    Certificates,
}

impl Wechat {
    pub(super) async fn authenticate(
        &self,
        front: Front,
        parts: &Parts,
        body: Bytes,
    ) -> Result<Arc<Keys>, Refusal> {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let is_missing = |name| text(name).is_none_or(str::is_empty);
        if front.wants_client() && [header::USER_AGENT, header::ACCEPT].into_iter().any(is_missing) {
            return Err(Refusal::invalid_request("Http头缺少Accept或User-Agent"));
        }
        let said = Authorization::parse(text(header::AUTHORIZATION)).map_err(|why| front.malformed(why))?;
        // The clock comes first: a replay with a good signature is told about its age.
        let now = self.clock.signing_ms();
        if !said.is_fresh(now) {
            let message = "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟";
            return Err(front.sign_error(message));
        }
        let keys = self.merchants.find(said.mchid).ok_or_else(|| front.unknown_merchant())?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let message = said.message(parts.method.as_str(), target, &body);
        let (serial, signature) = (said.serial.to_owned(), said.signature.to_owned());
        keys.off_thread(move |keys| keys.check_merchant(&serial, &message, &signature, now))
            .await
            .map_err(|error| broken(&error))?
            .map_err(|why| {
                debug!(method = %parts.method, target, ?why, "the request is not the merchant's");
                front.sign_error(match why {
                    NotTheMerchant::Serial => "商户证书序列号有误，请使用签名私钥匹配的证书序列号",
                    NotTheMerchant::Certificate(CertificateState::Expired) => "商户证书已过期，请使用新证书",
                    NotTheMerchant::Certificate(CertificateState::Revoked) => "商户证书已作废，请使用新证书",
                    NotTheMerchant::Certificate(CertificateState::Replaced | CertificateState::Live) => {
                        "商户已更换证书，请使用新证书"
                    }
                    NotTheMerchant::Signature => "签名错误",
                })
            })?;
        Ok(keys)
    }
}

impl Front {
    /// Observed: some want to know who calls.
    fn wants_client(self) -> bool {
        match self {
            Self::Refunds | Self::Certificates => true,
            Self::Transactions | Self::Bills => false,
        }
    }

    fn malformed(self, why: Malformed) -> Refusal {
        self.sign_error(match (self, why) {
            (Self::Transactions, _) => "签名信息错误，验签失败",
            (_, Malformed::Scheme) => "HTTP头Authorization认证类型不正确",
            (_, Malformed::Missing | Malformed::Pairs) => {
                "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
            }
        })
    }

    /// Observed: a 401 under `/v3/pay/transactions` has no `Request-ID`.
    fn sign_error(self, message: &str) -> Refusal {
        Refusal { has_request_id: self != Self::Transactions, ..Refusal::sign_error(message) }
    }

    fn unknown_merchant(self) -> Refusal {
        let status = match self {
            Self::Transactions => StatusCode::BAD_REQUEST,
            Self::Refunds | Self::Bills | Self::Certificates => StatusCode::NOT_FOUND,
        };
        Refusal::new(status, "MCH_NOT_EXISTS", "商户号不存在", 268_443_715)
    }
}
