//! What the shop was told, for a shop that would rather ask, or has something to catch up on.

use axum::{Json as Answer, extract::State};
use entity::{
    EventId,
    told_event::{self, Told},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{
    IntoParams, Path, ToSchema,
    openapi::{HttpMethod, PathItem, Paths, PathsBuilder},
};

use crate::{
    app::App,
    caller::Shop,
    problem::{ApiError, Problem},
    request::Query,
};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventsListed {
    /// As they were told, byte for byte.
    #[schema(value_type = Vec<Told>)]
    events: Vec<Box<RawValue>>,
    /// Whether there are more after the last one.
    has_more: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListEvents {
    /// 1 to 100, 20 if not given.
    limit: Option<u64>,
    /// The id of the last event that is known; without it, from the very first.
    starting_after: Option<String>,
}

/// List what the shop was told, the oldest first.
///
/// The same objects as the webhooks, in the order in which they were told. Whoever goes on after the
/// last one misses none: an event never appears before one that was listed.
#[utoipa::path(get, path = "/v1/events", params(ListEvents), responses(
    (status = 200, body = EventsListed),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list_events(
    State(app): State<App>,
    Shop(merchant): Shop,
    Query(asked): Query<ListEvents>,
) -> Result<Answer<EventsListed>, ApiError> {
    let limit = asked.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::invalid("/limit", "must be from 1 to 100"));
    }
    let own = told_event::Entity::find().filter(told_event::Column::Merchant.eq(&merchant.name));
    let after = match asked.starting_after {
        None => 0,
        Some(id) => {
            let unknown = || ApiError::invalid("/starting_after", "is not the id of an event you were told");
            let id: EventId = id.parse().map_err(|_| unknown())?;
            let known = own.clone().filter(told_event::Column::Id.eq(id)).one(app.db().reader()).await?;
            known.ok_or_else(unknown)?.position
        }
    };
    let mut found = own
        .filter(told_event::Column::Position.gt(after))
        .order_by_asc(told_event::Column::Position)
        .limit(limit + 1)
        .all(app.db().reader())
        .await?;
    let has_more = found.len() as u64 > limit;
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let events = found.into_iter().map(|event| RawValue::from_string(event.body));
    let events = events.collect::<Result<_, _>>().map_err(|error| ApiError::Internal(Box::new(error)))?;
    Ok(Answer(EventsListed { events, has_more }))
}

/// What everpaid sends to the endpoints in its configuration, for `openapi.json`.
pub(crate) fn webhooks() -> Paths {
    let told = PathItem::new(HttpMethod::Post, __path_tell_shop::operation());
    PathsBuilder::new().path("event", told).build()
}

/// Tell the shop what happened.
///
/// By Standard Webhooks 1.0.0. Sent again until it is answered with a 2xx, ten times in a bit over
/// three days; at least once, and not always in order: `data.seq` says which of two events of an
/// order is the later.
#[utoipa::path(post, path = "event", request_body = Told,
    params(
        ("webhook-id" = String, Header, description = "The event's id, the same on every try"),
        ("webhook-timestamp" = i64, Header, description = "When this try was made, in seconds since 1970"),
        ("webhook-signature" = String, Header,
            description = "`v1,` and the base64 of HMAC-SHA256 over id, timestamp and body, joined by full stops; several, separated by blanks, while a secret is being replaced"),
    ),
    responses(
        (status = "2XX", description = "Taken"),
        (status = 410, description = "Tell nothing here any more"),
        (status = 429, description = "Later, by `Retry-After`"),
        (status = 503, description = "Later, by `Retry-After`"),
        (status = "default", description = "Not taken: sent again. Redirects are not followed"),
    ))]
#[expect(dead_code, reason = "describes in openapi.json a call that everpaid makes")]
fn tell_shop() {}
