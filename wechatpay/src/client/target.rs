//! Where a request goes, in the very bytes that are signed.

use reqwest::Url;

use super::ConfigError;

#[cfg(test)]
mod tests;

/// Percent-encodes everything but RFC 3986's unreserved characters, so that no URL library has
/// a reason to touch what was signed.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

pub(super) fn sent_target(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// Splits an address that WeChat handed out into scheme with host, and the target to sign.
pub(super) fn address(text: &str) -> Option<(&str, &str)> {
    let after_scheme = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let host_length = after_scheme.find('/').filter(|length| *length > 0)?;
    Some(text.split_at(text.len() - after_scheme.len() + host_length))
}

/// Checks a base URL and cuts its trailing slash.
pub(crate) fn base_url(text: &mut String) -> Result<Url, ConfigError> {
    let refused = || ConfigError::BaseUrl { url: text.clone() };
    let url = Url::parse(text).map_err(|_| refused())?;
    let is_bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !is_bare {
        return Err(refused());
    }
    *text = url.as_str().trim_end_matches('/').to_owned();
    Ok(url)
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}
