//! A page of a few words, for a person whose way ends here, or nearly: what happened, and what to do.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use sea_orm::DbErr;

use crate::checkout;

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The link to the checkout page is of no order.
    LinkNotValid,
    /// The shop asked to be given the payer back at an address that is not on its list.
    ReturnNotAllowed,
    /// The merchant has no official account with a secret, so WeChat cannot say who the payer is.
    CannotAuthorize { checkout: String },
    /// The order has begun too many authorisations.
    TooMany { checkout: String },
    /// What came back from WeChat is incomplete, or no authorisation of ours.
    NotOurs,
    /// The authorisation was begun in another browser, so this one learns nothing of it.
    OtherBrowser,
    /// The authorisation was begun too long ago.
    TooOld { checkout: String },
    /// Something is wrong here; the same address works later.
    Trouble,
}

struct Words {
    status: StatusCode,
    title: &'static str,
    text: &'static str,
    title_en: &'static str,
    text_en: &'static str,
}

impl Notice {
    fn words(&self) -> Words {
        use StatusCode as S;
        let (status, [title, text, title_en, text_en]) = match self {
            Self::LinkNotValid => (
                S::NOT_FOUND,
                [
                    "链接无效",
                    "链接可能不完整，或已经失效。请回到商家的订单页重新打开。",
                    "This link does not work",
                    "It may be incomplete or no longer valid. Please open it again from your order with the merchant.",
                ],
            ),
            Self::ReturnNotAllowed => (
                S::BAD_REQUEST,
                [
                    "无法返回商家页面",
                    "商家没有登记这个返回地址。您没有付款，请联系商家。",
                    "The way back is not allowed",
                    "The merchant has not registered this return address. You have not paid; please contact the merchant.",
                ],
            ),
            Self::CannotAuthorize { .. } => (
                S::CONFLICT,
                [
                    "暂不能在微信内授权",
                    "商家还没有开通微信内支付。您没有付款，请返回收银台换一种方式付款。",
                    "WeChat sign-in is not set up",
                    "The merchant cannot take payments inside WeChat yet. You have not paid; go back and pay another way.",
                ],
            ),
            Self::TooMany { .. } => (
                S::TOO_MANY_REQUESTS,
                [
                    "授权次数过多",
                    "这笔订单一小时内授权的次数太多了。请稍后再试，或返回收银台换一种方式付款。",
                    "Too many sign-ins",
                    "This order was signed in for too often within an hour. Try again later, or go back and pay another way.",
                ],
            ),
            Self::NotOurs => (
                S::BAD_REQUEST,
                [
                    "授权链接无效",
                    "这不是我们发起的微信授权，或者链接不完整。请回到商家的订单页，重新打开付款链接。",
                    "This sign-in is not valid",
                    "It was not started here, or the link is incomplete. Please open the payment link again from your order with the merchant.",
                ],
            ),
            Self::OtherBrowser => (
                S::FORBIDDEN,
                [
                    "请在原来的页面继续",
                    "这次微信授权是在另一个浏览器或设备上开始的，在这里不能继续。请回到商家的订单页，重新打开付款链接。",
                    "This sign-in began elsewhere",
                    "It was started in another browser or on another device and cannot go on here. Please open the payment link again from your order with the merchant.",
                ],
            ),
            Self::TooOld { .. } => (
                S::BAD_REQUEST,
                [
                    "授权已过期",
                    "这次微信授权是十多分钟前开始的。请返回收银台，再点一次付款。",
                    "The sign-in has expired",
                    "It was started more than ten minutes ago. Please go back to the checkout page and tap pay again.",
                ],
            ),
            Self::Trouble => (
                S::SERVICE_UNAVAILABLE,
                [
                    "系统繁忙",
                    "现在无法继续，您没有付款。请过一会儿刷新本页。",
                    "Something is busy here",
                    "This cannot go on right now, and you have not paid. Please reload this page in a moment.",
                ],
            ),
        };
        Words { status, title, text, title_en, text_en }
    }

    /// The way back to the checkout page, where there is one.
    fn checkout(&self) -> Option<&str> {
        match self {
            Self::CannotAuthorize { checkout } | Self::TooMany { checkout } | Self::TooOld { checkout } => {
                Some(checkout)
            }
            Self::LinkNotValid
            | Self::ReturnNotAllowed
            | Self::NotOurs
            | Self::OtherBrowser
            | Self::Trouble => None,
        }
    }
}

impl From<DbErr> for Notice {
    fn from(error: DbErr) -> Self {
        // Written to the log once, here; a person is told less.
        tracing::error!(%error, "a page failed");
        Self::Trouble
    }
}

impl IntoResponse for Notice {
    fn into_response(self) -> Response {
        let Words { status, title, text, title_en, text_en } = self.words();
        let back = self.checkout().map_or_else(String::new, |checkout| {
            format!(
                "<p><a class=\"button button--plain\" href=\"{}\">打开收银台 <span lang=\"en\">Open the checkout page</span></a></p>",
                checkout::escape(checkout)
            )
        });
        let values =
            [("title", title), ("text", text), ("title_en", title_en), ("text_en", text_en), ("back", &back)];
        (status, checkout::html("notice.html", &values)).into_response()
    }
}
