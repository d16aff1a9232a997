use sea_orm::{ActiveEnum, Iterable};

use super::{Event, Status};

const EVENTS: [Event; 9] = [
    Event::Started,
    Event::PrepayIssued,
    Event::OutcomeLost,
    Event::FoundUnpaid,
    Event::CreateRefused,
    Event::NeverExisted,
    Event::CloseRequested,
    Event::CloseConfirmed,
    Event::PaymentSucceeded,
];

/// Review a change of state as a diff of `lifecycle.txt`.
#[test]
fn every_status_answers_every_event_as_the_table_says() {
    let mut table = String::new();
    for status in Status::iter() {
        for event in EVENTS {
            let after = status.after(&event).map_or("refused".to_owned(), |after| after.to_value());
            let event = format!("{event:?}");
            table += &format!("{:<20}{event:<20}{after}\n", status.to_value());
        }
    }
    crate::golden::check("src/payment/lifecycle.txt", &table);
}

#[test]
fn success_is_never_refused_and_never_undone() {
    for status in Status::iter() {
        assert_eq!(status.after(&Event::PaymentSucceeded), Ok(Status::Succeeded), "{status:?}");
    }
    for event in EVENTS {
        assert_eq!(
            Status::Succeeded.after(&event).unwrap_or(Status::Succeeded),
            Status::Succeeded,
            "{event:?}"
        );
    }
}

/// Nothing but silence leads into the unknown, and only an answer leads out of it to a failure.
#[test]
fn an_unanswered_create_is_never_called_failed_by_a_refusal() {
    assert!(Status::Unknown.after(&Event::CreateRefused).is_err());
    for status in Status::iter() {
        for event in EVENTS {
            if status != Status::Unknown && status.after(&event) == Ok(Status::Unknown) {
                assert_eq!(event, Event::OutcomeLost);
            }
        }
    }
}
