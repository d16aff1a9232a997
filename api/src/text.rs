//! Rules for texts that go to WeChat Pay or come back to a page.

use crate::problem::ApiError;

/// From 1 to `max` characters that WeChat Pay takes: no control characters, and no character that
/// needs four bytes in UTF-8, as most emoji do (WeChat Pay documentation, 基本规则).
pub(crate) fn for_wechat(pointer: &str, text: &str, max: usize) -> Result<(), ApiError> {
    if text.trim().is_empty() {
        return Err(ApiError::invalid(pointer, "must not be empty"));
    }
    if text.chars().count() > max {
        return Err(ApiError::invalid(pointer, format!("must have at most {max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(ApiError::invalid(pointer, "must not contain control characters"));
    }
    wechatpay::order::text_is_acceptable(text).map_err(|refusal| {
        let position = refusal.position;
        let detail = format!(
            "WeChat Pay takes only characters of one to three bytes in UTF-8; the one at position {position} has four (emoji do)"
        );
        ApiError::invalid(pointer, detail)
    })
}

/// From 1 to 64 printable ASCII characters without blanks.
pub(crate) fn merchant_order_no(pointer: &str, text: &str) -> Result<(), ApiError> {
    if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(ApiError::invalid(pointer, "must be 1 to 64 printable ASCII characters without blanks"))
    }
}

/// An absolute http or https address of at most 1024 characters.
pub(crate) fn web_address(pointer: &str, text: &str) -> Result<(), ApiError> {
    let fits = text.len() <= 1024
        && text.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        });
    if fits { Ok(()) } else { Err(ApiError::invalid(pointer, "must be an absolute http or https address")) }
}
