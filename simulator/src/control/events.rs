//! A stream that says when something changed, for pages that show it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use futures::{Stream, StreamExt, stream};

use super::Here;
use crate::wechat::Wechat;

/// A burst of changes is one event.
const BURST: Duration = Duration::from_millis(100);

pub(super) fn routes() -> Router<Arc<Wechat>> {
    Router::new().route("/events", get(stream_events))
}

/// `event: changed` at once, and again whenever there is something new to read.
async fn stream_events(State(wechat): Here) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut changes = wechat.changes.subscribe();
    changes.mark_changed();
    let events = stream::unfold(changes, async |mut changes| {
        changes.changed().await.ok()?;
        tokio::time::sleep(BURST).await;
        let seen = *changes.borrow_and_update();
        Some((Ok(Event::default().event("changed").data(seen.to_string())), changes))
    });
    Sse::new(events.take_until(wechat.stop.clone().cancelled_owned())).keep_alive(KeepAlive::default())
}
