use sea_orm::{ActiveEnum, Iterable};

use super::{Event, Status};

const EVENTS: [Event; 6] = [
    Event::OutcomeLost,
    Event::Taken,
    Event::Refused,
    Event::Succeeded,
    Event::Closed,
    Event::BecameAbnormal,
];

/// Review a change of state as a diff of `lifecycle.txt`.
#[test]
fn every_status_answers_every_event_as_the_table_says() {
    let mut table = String::new();
    for status in Status::iter() {
        for event in EVENTS {
            let after = status.after(&event).map_or("refused".to_owned(), |after| after.to_value());
            let event = format!("{event:?}");
            table += &format!("{:<12}{event:<16}{after}\n", status.to_value());
        }
    }
    crate::golden::check("src/refund/lifecycle.txt", &table);
}

#[test]
fn money_that_went_back_is_never_refused_and_never_forgotten() {
    for status in Status::iter() {
        assert_eq!(status.after(&Event::Succeeded), Ok(Status::Succeeded), "{status:?}");
    }
    for event in EVENTS {
        assert_eq!(
            Status::Succeeded.after(&event).unwrap_or(Status::Succeeded),
            Status::Succeeded,
            "{event:?}"
        );
    }
}

#[test]
fn what_is_not_at_rest_is_listed() {
    for status in Status::iter() {
        assert_eq!(status.is_at_rest(), !Status::NOT_AT_REST.contains(&status), "{status:?}");
    }
}
