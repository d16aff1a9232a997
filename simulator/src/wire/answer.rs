//! What goes back: refusals, which are not signed, and answers, which are.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::{signing::request_id, wire::fields};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// An error in WeChat Pay's words.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub detail: Option<Value>,
    /// The number inside WeChat Pay, shown in `Request-ID`.
    pub number: u64,
    /// Some 401 come without a `Request-ID`.
    pub has_request_id: bool,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        number: u64,
    ) -> Self {
        Self { status, code, message: message.into(), detail: None, number, has_request_id: true }
    }

    pub(crate) fn param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PARAM_ERROR", message, 268_435_461)
    }

    pub(crate) fn field(at: &str, value: Option<&Value>, issue: &str) -> Self {
        Self {
            detail: Some(fields::detail(at, value, issue, "body")),
            ..Self::param(format!("输入源“/body{at}”规则校验失败，{issue}"))
        }
    }

    /// The mistake is in the path, not in the body.
    pub(crate) fn in_url(mut self, name: &str) -> Self {
        self.message = self.message.replacen("/body/", "/url/", 1);
        if let Some(detail) = &mut self.detail {
            detail["field"] = name.into();
            detail["location"] = "url".into();
        }
        self
    }

    pub(crate) fn in_query(self, name: &str) -> Self {
        Self { detail: Some(fields::detail(name, None, &self.message, "query")), ..self }
    }

    pub(crate) fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message, 268_435_461)
    }

    pub(crate) fn sign_error(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "SIGN_ERROR", message, 268_443_699)
    }

    pub(crate) fn order_not_exist() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ORDER_NOT_EXIST", "订单不存在", 268_512_771)
    }

    pub(crate) fn system_error() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "SYSTEM_ERROR", "系统异常，请用相同参数重新调用", 268_435_456)
    }

    pub(crate) fn too_frequent() -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, "FREQUENCY_LIMITED", "频率超限", 268_447_840)
    }

    pub(crate) fn unavailable(status: StatusCode) -> Self {
        Self::new(status, "SERVICE_UNAVAILABLE", "服务不可用，请稍后重试", 268_435_456)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({"code": self.code, "message": self.message});
        if let Some(detail) = self.detail {
            body["detail"] = detail;
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        if self.has_request_id {
            headers.insert("request-id", request_id(self.number));
        }
        response
    }
}

/// A good answer with its signature; a 204 has the headers too.
pub(crate) fn signed(status: StatusCode, body: Vec<u8>, signature: HeaderMap) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(signature);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert("request-id", request_id(0));
    response
}

/// A download, which nobody signs.
pub(crate) fn file(status: StatusCode, content: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(content));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert("request-id", request_id(0));
    response
}

/// What a broken proxy in front of WeChat Pay says.
pub(crate) fn html() -> Response {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>";
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}
