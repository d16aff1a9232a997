use sea_orm::{ActiveEnum, Iterable};

use super::{Event, Status};

const EVENTS: [Event; 6] = [
    Event::PaymentSucceeded,
    Event::CloseRequested,
    Event::Expired,
    Event::CloseConfirmed,
    Event::RefundSucceeded { in_full: false },
    Event::RefundSucceeded { in_full: true },
];

/// Review a change of state as a diff of `lifecycle.txt`.
#[test]
fn every_status_answers_every_event_as_the_table_says() {
    let mut table = String::new();
    for status in Status::iter() {
        for event in EVENTS {
            let after = status.after(&event).map_or("refused".to_owned(), |after| after.to_value());
            let event = format!("{event:?}");
            table += &format!("{:<20}{event:<36}{after}\n", status.to_value());
        }
    }
    crate::golden::check("src/order/lifecycle.txt", &table);
}

#[test]
fn money_is_never_refused_and_never_forgotten() {
    for status in Status::iter() {
        assert!(status.after(&Event::PaymentSucceeded).unwrap().is_paid(), "{status:?}");
        if status.is_paid() {
            for event in EVENTS {
                assert!(status.after(&event).unwrap_or(status).is_paid(), "{status:?} {event:?}");
            }
        }
    }
}
