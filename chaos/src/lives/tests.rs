use entity::{EventId, Fen, job, money_entry, order, order_event, webhook_delivery};
use simulator::{Fault, FaultKind, Target};

use super::*;
use crate::sink::Heard;

/// What the oracle says of a wave once this was done to its witnesses: the kinds, and the words.
fn after(
    (witnesses, heard): &(Witnesses, Heard),
    tamper: impl FnOnce(&mut Witnesses, &mut Heard),
) -> Vec<String> {
    let (mut witnesses, mut heard) = (witnesses.clone(), heard.clone());
    tamper(&mut witnesses, &mut heard);
    let found = witnesses.judge(&heard, &Allowed::default());
    found.all().map(|(kind, what)| format!("{kind}: {what}")).collect()
}

fn assert_found(found: &[String], kind: &str, words: &str) {
    let is_there = found.iter().any(|found| found.starts_with(kind) && found.contains(words));
    assert!(is_there, "{kind} … {words} is not in {found:#?}");
}

/// What no run should ever find is found when it is there.
#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_finds_what_is_wrong() {
    let credentials = Credentials::generate().unwrap();
    // Nobody would pay in the very moment of a close; else the weather is fair.
    let spells = vec![Spell {
        from: Duration::ZERO,
        until: Duration::MAX,
        trouble: Trouble::Fault(Fault::new(FaultKind::PayWhileClosing).on(Target::Close).share(0.5)),
    }];
    let wave = Wave::lead(&credentials, StdRng::seed_from_u64(3), spells, 60).await.unwrap();
    let witnesses = wave.witnesses().await.unwrap();
    let there = (witnesses, wave.world.sink.heard().clone());
    assert_eq!(after(&there, |_, _| {}), [""; 0]);
    let check = |kind: &str, words: &str, tamper: &dyn Fn(&mut Witnesses, &mut Heard)| {
        assert_found(&after(&there, tamper), kind, words);
    };

    // The money.
    check("lost", "is paid and not booked", &|seen, _| drop(seen.entries.remove(0)));
    check("doubled", "is booked 2 times", &|seen, _| seen.entries.push(seen.entries[0].clone()));
    check("wrong", "is booked as", &|seen, _| seen.entries[0].amount.0 += 1);
    check("wrong", "is booked and was never paid", &|seen, _| drop(seen.ledger.payments.remove(0)));
    check("lost", "went back and is not booked", &|seen, _| {
        seen.entries.retain(|entry| entry.kind != money_entry::Kind::Refund);
    });
    check("wrong", "is booked and never went back", &|seen, _| seen.ledger.refunds.clear());
    check("wrong", "was never asked for here", &|seen, _| seen.refunds.clear());
    check("wrong", "more than was paid went back", &|seen, _| {
        let number = seen.ledger.refunds[0].out_trade_no.clone();
        let payments = &mut seen.ledger.payments;
        payments.iter_mut().find(|payment| payment.out_trade_no == number).unwrap().total = 0;
    });
    check("lost", "is no case", &|seen, _| {
        seen.entries[0].kind = money_entry::Kind::Surplus;
    });

    // The orders and payments.
    check("wrong", "and should be Paid", &|seen, _| {
        let paid = seen.orders.iter_mut().find(|order| order.status == order::Status::Paid);
        paid.unwrap().status = order::Status::Closed;
    });
    check("wrong", "and should be Closed", &|seen, _| {
        let closed = seen.orders.iter_mut().find(|order| order.status == order::Status::Closed);
        closed.unwrap().status = order::Status::Paid;
    });
    check("wrong", "should be", &|seen, _| seen.orders[0].refunded = Fen(1));
    check("stuck", "is Closing", &|seen, _| seen.orders[0].status = order::Status::Closing);
    check("stuck", "is Unknown", &|seen, _| seen.payments[0].status = payment::Status::Unknown);
    check("wrong", "can be paid at WeChat Pay", &|seen, _| {
        let numbers = seen.payments.iter().map(|payment| payment.out_trade_no.clone());
        seen.open = numbers.collect();
    });
    check("wrong", "has events", &|seen, _| drop(seen.events.remove(0)));
    check("stuck", "is left", &|seen, _| {
        seen.jobs.push(job::Model { kind: "confirm_payment".to_owned(), ..seen.jobs[0].clone() });
    });

    let left = |allowed: &Allowed| {
        let (mut witnesses, heard) = there.clone();
        let payment = witnesses.payments[0].id.to_string();
        let look = job::Model {
            kind: "confirm_payment".to_owned(),
            subject: payment,
            dead_at: None,
            ..witnesses.jobs[0].clone()
        };
        let dead = job::Model { dead_at: Some(look.due_at), subject: "planted".to_owned(), ..look.clone() };
        witnesses.jobs.extend([look, dead]);
        witnesses.judge(&heard, allowed).stuck.len()
    };
    let poison = || ["planted".to_owned()].into();
    assert_eq!(left(&Allowed::default()), 2);
    assert_eq!(left(&Allowed { looks: true, ..Allowed::default() }), 1);
    assert_eq!(left(&Allowed { looks: true, poison: poison(), ..Allowed::default() }), 0);

    // The telling.
    check("untold", "was not told", &|_, heard| heard.events.clear());
    check("wrong", "was told and did not happen", &|_, heard| {
        let event = heard.events.values().next().unwrap().clone();
        heard.events.insert("evt_other".to_owned(), event);
    });
    check("wrong", "was told as order.lost", &|_, heard| {
        heard.events.values_mut().next().unwrap().kind = "order.lost".to_owned();
    });
    check("untold", "events are listed", &|seen, _| drop(seen.told.pop()));
    check("untold", "is not told to its end", &|seen, _| seen.orders[0].told_seq -= 1);
    check("untold", "is Dead", &|seen, _| seen.deliveries[0].status = webhook_delivery::Status::Dead);
    check("doubled", "was paid 2 times", &|seen, _| {
        let paid = seen.events.iter().find(|event| event.kind == order_event::Kind::PaymentSucceeded);
        seen.events.push(order_event::Model { id: EventId::generate(), ..paid.unwrap().clone() });
    });
    wave.world.end(false).await.unwrap();
}
