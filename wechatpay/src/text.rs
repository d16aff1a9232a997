//! Texts as WeChat writes them into its JSON.

use serde::{Deserialize as _, Deserializer};

/// An empty text says as little as an absent one, and must not pass for a number or a time.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}
