//! What can go wrong with a call, grouped by what the caller can do about it
//! (WeChat Pay documentation, 错误码和错误提示).

use crate::notification::DecryptError;
use crate::trust::VerifyError;

#[cfg(test)]
mod tests;

/// A call that did not end well.
///
/// | variant | what happened | what to do |
/// |---|---|---|
/// | `Unsendable` | the request cannot be made | nothing: it will never work |
/// | `NotDelivered` | nothing reached WeChat | the same again, later |
/// | `Refused` | WeChat answered and did not take it | the same again, later and slower |
/// | `Unknown` | WeChat may have acted on it | query before anything else |
/// | `Definite` | WeChat said no | decide by the code |
///
/// Messages contain no key, no payer and no body. The text that came from WeChat is only in
/// [`ApiError::message`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request cannot be made at all, whatever the network does.
    #[error("the request cannot be sent: {cause}")]
    Unsendable {
        /// Why.
        cause: String,
    },
    /// Nothing reached WeChat: no address, no connection, no TLS; or no host has answered lately, and
    /// it was not tried.
    #[error("the request was not delivered: {cause}")]
    NotDelivered {
        /// Why.
        cause: String,
    },
    /// Too many calls (429), or WeChat's own trouble (5xx with WeChat's error body).
    #[error("WeChat Pay did not take the request: {0}")]
    Refused(ApiError),
    /// WeChat may have acted on the request, or may yet do so.
    #[error("the outcome is unknown: {cause}")]
    Unknown {
        /// Why.
        cause: Cause,
    },
    /// WeChat's no (4xx with WeChat's error body). Look at [`ApiError::verified`] and
    /// [`ApiError::earlier_unanswered`] before an irreversible step.
    #[error("WeChat Pay refused the request: {0}")]
    Definite(ApiError),
}

/// Why an outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke after the request may have gone out.
    #[error("the connection was lost: {detail}")]
    ConnectionLost {
        /// What the network said.
        detail: String,
    },
    /// 202: accepted and not processed.
    #[error("accepted, not processed")]
    AcceptedOnly,
    /// An answer that is not WeChat's, or not all of it: empty, a proxy's page, too large.
    #[error("status {status} with an unreadable body")]
    Unreadable {
        /// The HTTP status.
        status: u16,
    },
    /// A success that lacks what was asked for.
    #[error("a success without the expected content")]
    Unusable,
    /// An answer that cannot be shown to be WeChat's.
    #[error("the answer is not verified: {0}")]
    Unverified(VerifyError),
    /// A 2xx that carries an error code.
    #[error("an error inside a success: {0}")]
    ErrorInSuccess(ApiError),
    /// The answer is about another order, refund or merchant than the question.
    #[error("the answer is about another order")]
    OtherOrder,
    /// A first try went unanswered and the second was refused as in [`Error::Refused`].
    #[error("a second try was not taken after an unanswered first: {0}")]
    RefusedAfterUnanswered(ApiError),
    /// A refund was refused as in [`Error::Refused`]: WeChat may go through with it all the same
    /// (WeChat Pay documentation, 退款申请), so ask by its number before anything else.
    #[error("a refund that was not taken may be taken yet: {0}")]
    PerhapsTaken(ApiError),
    /// A downloaded file that is not the one WeChat promised, or not all of it.
    #[error("the file's hash differs")]
    HashDiffers,
    /// A downloaded certificate that no APIv3 key opens.
    #[error("a certificate stays sealed: {0}")]
    Sealed(DecryptError),
}

/// WeChat's own words about an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("status {status} {code}")]
pub struct ApiError {
    /// The HTTP status. Branch on it first: the same code has different statuses.
    pub status: u16,
    /// For instance `PARAM_ERROR`; empty when a 429 came without a body.
    pub code: String,
    /// For people. It may repeat what was sent, and changes without notice.
    pub message: String,
    /// Whether the answer was signed by WeChat. Refusals often are not signed.
    pub verified: bool,
    /// The `Request-ID` header, which WeChat's support asks for.
    pub request_id: Option<String>,
    /// An earlier try of this very call was sent and never answered: it may have had an effect,
    /// so query instead of believing the refusal.
    pub earlier_unanswered: bool,
}

impl Error {
    /// Whether time may heal it; then the same request may be repeated, after a query where the
    /// outcome is unknown.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotDelivered { .. } | Self::Refused(_) | Self::Unknown { .. } => true,
            Self::Unsendable { .. } | Self::Definite(_) => false,
        }
    }

    /// One word for a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unsendable { .. } => "unsendable",
            Self::NotDelivered { .. } => "not_delivered",
            Self::Refused(_) => "refused",
            Self::Unknown { cause } => cause.reason(),
            Self::Definite(_) => "definite",
        }
    }

    /// What WeChat said, if it said anything.
    pub fn api_error(&self) -> Option<&ApiError> {
        match self {
            Self::Refused(said)
            | Self::Definite(said)
            | Self::Unknown {
                cause:
                    Cause::ErrorInSuccess(said) | Cause::RefusedAfterUnanswered(said) | Cause::PerhapsTaken(said),
            } => Some(said),
            _ => None,
        }
    }

    /// The error of asking for a refund: what WeChat did not take at once it may take yet.
    pub(crate) fn in_doubt(self) -> Self {
        match self {
            Self::Refused(said) => Cause::PerhapsTaken(said).into(),
            error => error,
        }
    }

    /// The error of two tries of one call that changes something, `self` being the first.
    ///
    /// The second try cannot take back what the first may have done.
    pub(crate) fn followed_by(self, second: Self) -> Self {
        let Self::Unknown { .. } = self else {
            return second;
        };
        match second {
            Self::Definite(said) => Self::Definite(said.after_unanswered()),
            Self::Refused(said) => {
                Self::Unknown { cause: Cause::RefusedAfterUnanswered(said.after_unanswered()) }
            }
            Self::Unknown { .. } => second,
            Self::NotDelivered { .. } | Self::Unsendable { .. } => self,
        }
    }
}

impl Cause {
    fn reason(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::AcceptedOnly => "accepted_only",
            Self::Unreadable { .. } => "unreadable",
            Self::Unusable => "unusable",
            // Probes, stale clocks and forgeries call for different people.
            Self::Unverified(error) => error.reason(),
            Self::ErrorInSuccess(_) => "error_in_success",
            Self::OtherOrder => "other_order",
            Self::RefusedAfterUnanswered(_) => "refused_after_unanswered",
            Self::PerhapsTaken(_) => "perhaps_taken",
            Self::HashDiffers => "hash_differs",
            Self::Sealed(_) => "sealed",
        }
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self::Unknown { cause }
    }
}

impl ApiError {
    /// WeChat knows no order of that number for this merchant.
    pub fn is_order_not_found(&self) -> bool {
        self.is_code(&["ORDER_NOT_EXIST"])
    }

    /// The number is paid, used with other parameters, or closed: a query tells which.
    ///
    /// WeChat may also answer a repeated order with `INVALID_REQUEST`; that code does not count,
    /// because a first order that breaks a rule gets it too. Whoever repeats, asks anyway:
    /// see [`earlier_unanswered`](Self::earlier_unanswered).
    pub fn says_paid_used_or_closed(&self) -> bool {
        self.is_code(&["ORDER_PAID", "OUT_TRADE_NO_USED", "ORDER_CLOSED"])
    }

    /// WeChat knows no refund of that number; for a refund that is asked for, no paid order.
    pub fn is_resource_not_found(&self) -> bool {
        self.is_code(&["RESOURCE_NOT_EXISTS"])
    }

    /// The merchant's account is short of money for a refund: the same number again, once it is
    /// filled.
    pub fn is_balance_short(&self) -> bool {
        self.is_code(&["NOT_ENOUGH"])
    }

    /// Nothing was paid or refunded on the day of the bill; there will be no file.
    pub fn is_bill_empty(&self) -> bool {
        self.is_code(&["NO_STATEMENT_EXIST"])
    }

    /// The bill is being written: ask again every half hour.
    pub fn is_bill_late(&self) -> bool {
        self.is_code(&["STATEMENT_CREATING"])
    }

    /// Our signature, serial number or clock is wrong: a matter for the operator.
    pub fn is_authentication(&self) -> bool {
        self.status == 401 || self.is_code(&["SIGN_ERROR"])
    }

    /// WeChat spells its codes with and without underscores.
    fn is_code(&self, codes: &[&str]) -> bool {
        let letters = |code: &str| code.replace('_', "");
        codes.iter().any(|code| letters(code) == letters(&self.code))
    }

    fn after_unanswered(self) -> Self {
        Self { earlier_unanswered: true, ..self }
    }
}
