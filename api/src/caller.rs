//! Who is asking: a shop with its key, or a payer with an order's secret.

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Query},
};
use entity::{OrderId, order};
use http::{header, request::Parts};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde::Deserialize;

use crate::{
    app::{App, Merchant},
    problem::ApiError,
};

/// A shop, by its API key.
#[derive(Debug)]
pub(crate) struct Shop(pub Merchant);

/// A payer, by an order's client secret.
#[derive(Debug)]
pub(crate) struct Payer(pub OrderId);

/// A shop or a payer.
#[derive(Debug)]
pub(crate) enum Caller {
    Shop(Merchant),
    Payer(OrderId),
}

/// A shop or a payer, whose secret may be in the URL: a browser's EventSource and its `<img>`
/// cannot send headers.
#[derive(Debug)]
pub(crate) struct CallerByUrl(pub Caller);

#[derive(Deserialize)]
struct InUrl {
    client_secret: Option<String>,
}

impl Caller {
    /// The order, if this caller may do something about it.
    pub async fn order(&self, app: &App, id: &str) -> Result<order::Model, ApiError> {
        let order = self.order_or_its_status(app, id).await?;
        if self.sees_status_only(app, &order) { Err(ApiError::StatusOnly) } else { Ok(order) }
    }

    /// Is this a payer whose secret shows no more than how the order stands?
    pub fn sees_status_only(&self, app: &App, order: &order::Model) -> bool {
        matches!(self, Self::Payer(_)) && order.shows_status_only(app.now())
    }

    /// The order, if this caller may see anything of it. Foreign and missing look the same.
    pub async fn order_or_its_status(&self, app: &App, id: &str) -> Result<order::Model, ApiError> {
        let id: OrderId = id.parse().map_err(|_| ApiError::OrderNotFound)?;
        let query = match self {
            Self::Shop(merchant) => {
                order::Entity::find_by_id(id).filter(order::Column::Merchant.eq(&merchant.name))
            }
            Self::Payer(own) if *own == id => order::Entity::find_by_id(id),
            Self::Payer(_) => return Err(ApiError::OrderNotFound),
        };
        query.one(app.db().reader()).await?.ok_or(ApiError::OrderNotFound)
    }

    fn by_token(app: &App, token: &str) -> Result<Self, ApiError> {
        if let Some(merchant) = app.merchant_by_api_key(token) {
            return Ok(Self::Shop(merchant.clone()));
        }
        app.settings().link_keys.order(token).map(Self::Payer).ok_or(ApiError::Unauthorized)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let header = parts.headers.get(header::AUTHORIZATION).ok_or(ApiError::Unauthorized)?;
        let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        Self::by_token(app, token.ok_or(ApiError::Unauthorized)?)
    }
}

impl FromRequestParts<App> for CallerByUrl {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            return Caller::from_request_parts(parts, app).await.map(Self);
        }
        let Query(url) = parts.extract::<Query<InUrl>>().await.map_err(|_| ApiError::Unauthorized)?;
        let secret = url.client_secret.ok_or(ApiError::Unauthorized)?;
        // A shop's key has no business in a URL, where logs see it.
        app.settings()
            .link_keys
            .order(&secret)
            .map(|order| Self(Caller::Payer(order)))
            .ok_or(ApiError::Unauthorized)
    }
}

impl FromRequestParts<App> for Payer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Payer(order) => Ok(Self(order)),
            Caller::Shop(_) => Err(ApiError::ClientSecretRequired),
        }
    }
}

impl FromRequestParts<App> for Shop {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Shop(merchant) => Ok(Self(merchant)),
            Caller::Payer(_) => Err(ApiError::ShopKeyRequired),
        }
    }
}
