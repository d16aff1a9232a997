//! What may become of shipping that WeChat is to be told of.
//!
//! To add a state: add it to [`Status`], answer what the compiler then asks, name it in a
//! migration's CHECK, run the tests and review `lifecycle.txt` as a diff.

use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// The shipping is …
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[schema(as = ShippingStatus)]
pub enum Status {
    /// written down; may be known to WeChat.
    Requested,
    /// known to WeChat.
    Uploaded,
    /// refused by WeChat; the money stays where it is, and another may be asked for.
    Refused,
}

/// It happened that …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// WeChat took it.
    Uploaded,
    /// WeChat refused it, and trying again would not help.
    Refused,
}

/// What was asked is not a way this thing can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to shipping that is {status:?}")]
pub struct IllegalTransition {
    pub status: Status,
    pub event: Event,
}

impl Status {
    /// What the shipping is after the event.
    pub fn after(self, event: &Event) -> Result<Self, IllegalTransition> {
        use Event as E;
        use Status::{Refused, Requested, Uploaded};

        let after = match (self, event) {
            // From birth to rest.
            (Requested, E::Uploaded) => Uploaded,
            (Requested, E::Refused) => Refused,
            // Repeats.
            (Uploaded, E::Uploaded) => Uploaded,
            (Refused, E::Refused) => Refused,
            // Refusals.
            (Uploaded, E::Refused) | (Refused, E::Uploaded) => {
                return Err(IllegalTransition { status: self, event: *event });
            }
        };
        Ok(after)
    }

    /// Is there nothing left to find out?
    pub fn is_at_rest(self) -> bool {
        match self {
            Self::Uploaded | Self::Refused => true,
            Self::Requested => false,
        }
    }
}

#[cfg(test)]
mod tests;
