//! What one answer means: a pure reading of status, headers and body.

use http::HeaderMap;
use serde::Deserialize;

use crate::trust::SignatureHeaders;
use crate::{ApiError, Cause, Error};

#[cfg(test)]
mod tests;

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body of a verified success, or what went wrong.
    ///
    /// A success must be signed. A refusal often comes unsigned, and is believed as far as
    /// [`ApiError::verified`] says; but a signature that is there must be right.
    pub(super) fn judge(
        self,
        verify: impl FnOnce(&SignatureHeaders, &[u8]) -> Result<(), Error>,
    ) -> Result<Vec<u8>, Error> {
        let success = (200..300).contains(&self.status);
        let verified = success || SignatureHeaders::any_in(&self.headers);
        if verified {
            let headers = SignatureHeaders::from_map(&self.headers).map_err(Cause::Unverified)?;
            verify(&headers, &self.body)?;
        }
        let said = self.api_error(verified);
        match (self.status, said) {
            (202, _) => Err(Cause::AcceptedOnly.into()),
            (200..300, Some(said)) => Err(Cause::ErrorInSuccess(said).into()),
            (200..300, None) => Ok(self.body),
            (429, said) => Err(Error::Refused(said.unwrap_or_else(|| self.wordless(verified)))),
            // A 408 says that somebody waited for us in vain, not that WeChat decided.
            (400..500, Some(said)) if self.status != 408 => Err(Error::Definite(said)),
            (500..600, Some(said)) => Err(Error::Refused(said)),
            // A proxy's page, or nothing: who knows what happened behind it.
            (status, _) => Err(Cause::Unreadable { status }.into()),
        }
    }

    fn api_error(&self, verified: bool) -> Option<ApiError> {
        #[derive(Deserialize)]
        struct Said {
            code: String,
            #[serde(default)]
            message: Option<String>,
        }
        let said: Said = serde_json::from_slice(&self.body).ok()?;
        if said.code.is_empty() {
            return None;
        }
        Some(ApiError {
            code: truncated(said.code, 64),
            message: truncated(said.message.unwrap_or_default(), 512),
            ..self.wordless(verified)
        })
    }

    fn wordless(&self, verified: bool) -> ApiError {
        let request_id = self.headers.get("Request-ID").and_then(|value| value.to_str().ok());
        ApiError {
            status: self.status,
            code: String::new(),
            message: String::new(),
            verified,
            request_id: request_id.map(|id| truncated(id.to_owned(), 128)),
            earlier_unanswered: false,
        }
    }
}

/// These texts end up in rows and logs; an unsigned answer could make them any length.
fn truncated(text: String, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}
