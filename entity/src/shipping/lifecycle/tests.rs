use sea_orm::{ActiveEnum, Iterable};

use super::{Event, Status};

/// Review a change of state as a diff of `lifecycle.txt`.
#[test]
fn every_status_answers_every_event_as_the_table_says() {
    let mut table = String::new();
    for status in Status::iter() {
        for event in [Event::Uploaded, Event::Refused] {
            let after = status.after(&event).map_or("illegal".to_owned(), |after| after.to_value());
            let event = format!("{event:?}");
            table += &format!("{:<12}{event:<16}{after}\n", status.to_value());
        }
    }
    crate::golden::check("src/shipping/lifecycle.txt", &table);
}
