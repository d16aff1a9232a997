use super::*;
use crate::ApiError;

const HOST: [Host; 1] = [Host::Primary];

fn unanswered(breakers: &Breakers, times: u32, now: i64) -> Vec<Option<Switched>> {
    (0..times).map(|_| breakers.pass(&HOST, now).expect("a pass").end(Verdict::Unanswered, now)).collect()
}

#[test]
fn five_in_a_row_and_each_rest_is_twice_as_long_up_to_half_a_minute() {
    let breakers = Breakers::new();
    assert_eq!(unanswered(&breakers, 4, 0), [None; 4]);
    assert_eq!(breakers.pass(&HOST, 0).unwrap().end(Verdict::Answered, 0), None);
    assert_eq!(unanswered(&breakers, 5, 0), [None, None, None, None, Some(Switched::Open)]);
    let mut now = 0;
    for rest in [5, 10, 20, 30, 30] {
        assert!(breakers.pass(&HOST, now + rest - 1).is_none(), "after {rest}");
        now += rest;
        assert_eq!(unanswered(&breakers, 1, now), [None]);
    }
    now += 30;
    assert_eq!(breakers.pass(&HOST, now).unwrap().end(Verdict::Answered, now), Some(Switched::Closed));
    assert_eq!(unanswered(&breakers, 4, now), [None; 4], "it counts from the start");
    assert_eq!(unanswered(&breakers, 1, now), [Some(Switched::Open)]);
    assert!(breakers.pass(&HOST, now + 5).is_some(), "and rests as at first");
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_a_host_away() {
    let breakers = Breakers::new();
    unanswered(&breakers, 5, 1_000_000);
    assert!(breakers.pass(&HOST, 1_000_001).is_none());
    assert!(breakers.pass(&HOST, 999_999).is_some());
}

#[test]
fn what_went_out_before_decides_nothing_but_an_answer_is_an_answer() {
    let breakers = Breakers::new();
    let [early, late, answered] = [(); 3].map(|()| breakers.pass(&HOST, 0).unwrap());
    unanswered(&breakers, 5, 0);
    assert_eq!(early.end(Verdict::Unanswered, 3), None);
    let probe = breakers.pass(&HOST, 5).expect("rested since the fifth, not since the early one");
    assert_eq!(late.end(Verdict::Unanswered, 5), None);
    assert!(breakers.pass(&HOST, 5).is_none(), "one finds out at a time");
    assert_eq!(answered.end(Verdict::Answered, 5), Some(Switched::Closed));
    assert_eq!(probe.end(Verdict::Unanswered, 5), None, "one of five");
    assert!(breakers.pass(&HOST, 5).is_some());
}

#[test]
fn hosts_rest_apart() {
    let breakers = Breakers::new();
    unanswered(&breakers, 5, 0);
    let both = [Host::Primary, Host::Backup];
    assert_eq!(breakers.pass(&both, 0).map(|pass| pass.host()), Some(Host::Backup));
    assert_eq!(breakers.pass(&both, 5).map(|pass| pass.host()), Some(Host::Primary));
}

#[test]
fn what_a_try_says_about_its_host() {
    let said = ApiError {
        status: 500,
        code: "SYSTEM_ERROR".to_owned(),
        message: String::new(),
        verified: true,
        request_id: None,
        earlier_unanswered: false,
    };
    let hurried = Duration::from_millis(1200);
    for (error, time_out, verdict) in [
        (None, ANSWER_TIME_OUT, Verdict::Answered),
        (Some(Error::NotDelivered { cause: String::new() }), hurried, Verdict::Unanswered),
        (Some(Cause::ConnectionLost { detail: String::new() }.into()), hurried, Verdict::Unanswered),
        (Some(Cause::TimedOut.into()), ANSWER_TIME_OUT, Verdict::Unanswered),
        (Some(Cause::TimedOut.into()), hurried, Verdict::Unknown),
        (Some(Cause::Unreadable { status: 504 }.into()), hurried, Verdict::Unanswered),
        (Some(Cause::Unreadable { status: 500 }.into()), hurried, Verdict::Answered),
        (Some(Cause::PerhapsTaken(said.clone()).into()), hurried, Verdict::Answered),
        (Some(Error::Refused(said.clone())), hurried, Verdict::Answered),
        (Some(Error::Definite(said)), hurried, Verdict::Answered),
        (Some(Cause::OtherOrder.into()), hurried, Verdict::Answered),
        (Some(Error::Unsendable { cause: String::new() }), hurried, Verdict::Unknown),
    ] {
        assert_eq!(Verdict::of(error.as_ref(), time_out), verdict, "{error:?} within {time_out:?}");
    }
}
