//! Where a request goes, in the very bytes that are signed.

use reqwest::Url;

use super::ConfigError;

#[cfg(test)]
mod tests;

/// Percent-encodes everything but RFC 3986's unreserved characters, so that no URL library has
/// a reason to touch what was signed.
pub(super) fn encoded(text: &str) -> String {
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

/// Checks a base URL and cuts its trailing slash.
pub(super) fn base_url(text: &mut String) -> Result<Url, ConfigError> {
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

pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}
