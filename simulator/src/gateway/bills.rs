//! Asking for a trade bill, and downloading it.

use std::collections::HashMap;

use axum::extract::Query;
use http::{StatusCode, header, request::Parts};
use serde_json::json;

use super::{Reply, broken};
use crate::{
    faults::FaultKind,
    rules::bill::{Day, Kind, NoBill},
    wechat::Wechat,
    wire::answer::Refusal,
};

/// The path that official SDKs recognise.
pub(super) const DOWNLOAD: &str = "/v3/billdownload/file";

impl Wechat {
    pub(super) async fn trade_bill(
        &self,
        parts: &Parts,
        mchid: &str,
        fault: Option<FaultKind>,
    ) -> Result<Reply, Refusal> {
        let query = query(parts);
        let day = match query.get("bill_date") {
            None => return Err(Refusal::param("缺少必填参数bill_date").in_query("bill_date")),
            Some(text) => Day::parse(text)
                .ok_or_else(|| Refusal::param("账单日期格式错误，应为yyyy-MM-dd").in_query("bill_date"))?,
        };
        let kind = query.get("bill_type").map_or(Some(Kind::All), |name| Kind::named(name));
        let kind = kind.ok_or_else(|| Refusal::param("账单类型错误").in_query("bill_type"))?;
        let is_gzip = match query.get("tar_type").map(String::as_str) {
            None => false,
            Some("GZIP") => true,
            Some(_) => return Err(Refusal::param("压缩类型错误").in_query("tar_type")),
        };
        let bill = self.bill(mchid, day, kind, is_gzip, fault).await.map_err(|error| broken(&error))??;
        let tar_type = if is_gzip { "&tartype=gzip" } else { "" };
        Ok(Reply::json(
            StatusCode::OK,
            &json!({
                "hash_type": "SHA1",
                "hash_value": bill.sha1,
                "download_url": format!("{}{DOWNLOAD}?token={}{tar_type}", base(parts), bill.token),
            }),
        ))
    }

    pub(super) async fn download_bill(&self, parts: &Parts, mchid: &str) -> Result<Reply, Refusal> {
        let query = query(parts);
        let token = query.get("token").map_or("", String::as_str);
        let file = self
            .store
            .find_bill_file(token)
            .await?
            .filter(|file| self.now() < file.expires_at)
            .ok_or_else(|| Refusal::invalid_request("下载链接已失效，请重新获取"))?;
        if file.mchid != mchid {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "NO_AUTH", "没有权限下载该账单", 268_435_461));
        }
        Ok(Reply::file(file.content))
    }
}

const NAME: &str = "api.mch.weixin.qq.com";

/// Where the caller found us, so that it finds us again.
fn base(parts: &Parts) -> String {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(NAME);
    // Whoever calls us by WeChat's name has come through a proxy that ends its TLS.
    let is_wechat = [".weixin.qq.com", ".wechatpay.cn"].iter().any(|domain| host.ends_with(domain));
    format!("{}://{host}", if is_wechat { "https" } else { "http" })
}

fn query(parts: &Parts) -> HashMap<String, String> {
    Query::try_from_uri(&parts.uri).map(|Query(query)| query).unwrap_or_default()
}

impl From<NoBill> for Refusal {
    fn from(why: NoBill) -> Self {
        let code = match why {
            NoBill::NotOver | NoBill::TooOld => "INVALID_REQUEST",
            NoBill::Creating => "STATEMENT_CREATING",
            NoBill::NoTrade => "NO_STATEMENT_EXIST",
        };
        Self::new(StatusCode::BAD_REQUEST, code, why.to_string(), 268_435_461)
    }
}
