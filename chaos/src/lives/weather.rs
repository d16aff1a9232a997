//! What goes wrong meanwhile, as chance draws it: a few kinds of trouble for each wave of lives,
//! each from one moment to another.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};
use simulator::{Fault, FaultKind, Target};

use super::life::BEAT;

/// Trouble with its time.
#[derive(Clone, Debug)]
pub struct Spell {
    pub from: Duration,
    pub until: Duration,
    pub trouble: Trouble,
}

#[derive(Clone, Debug)]
pub enum Trouble {
    /// At WeChat Pay.
    Fault(Fault),
    /// WeChat Pay denies payments that exist, and keeps to it: what it denies is given up here, and can
    /// still be paid.
    Denial(Fault),
    /// The shop answers nothing that counts.
    ShopDown,
    /// Everpaid is stopped and started again at the beginning of the spell.
    Restart,
    /// Somebody empties the table of jobs at the beginning of the spell.
    JobsForgotten,
}

/// The kinds of trouble that a part of the occasions meets all the time, with that part.
///
/// None of them takes real time: a connection that stays open without an answer would.
const DRIZZLE: [(FaultKind, Target, f64); 16] = [
    (FaultKind::Silent, Target::Notify, 0.25),
    (FaultKind::Duplicate, Target::Notify, 0.2),
    (FaultKind::Repeat, Target::Notify, 0.1),
    (FaultKind::Unheard, Target::Notify, 0.1),
    (FaultKind::ProbeSignature, Target::Notify, 0.1),
    (FaultKind::CutAfter, Target::Create, 0.1),
    (FaultKind::CutBefore, Target::Create, 0.1),
    (FaultKind::PayBeforeAnswer, Target::Create, 0.03),
    (FaultKind::CutAfter, Target::Close, 0.15),
    (FaultKind::PayWhileClosing, Target::Close, 0.15),
    (FaultKind::CutAfter, Target::Refund, 0.2),
    (FaultKind::Accepted429, Target::Refund, 0.1),
    (FaultKind::RefundAbnormal, Target::Refund, 0.03),
    (FaultKind::RefundClosed, Target::Refund, 0.05),
    (FaultKind::ProbeSignature, Target::Any, 0.05),
    (FaultKind::WrongSignature, Target::Any, 0.05),
];

/// What strikes every call while it lasts.
const STORMS: [FaultKind; 7] = [
    FaultKind::Down,
    FaultKind::Status429,
    FaultKind::Status500,
    FaultKind::Status503,
    FaultKind::Html,
    FaultKind::Empty,
    FaultKind::WrongSignature,
];

/// Draws the weather of a wave that lasts about two hours.
pub fn draw(chance: &mut StdRng) -> Vec<Spell> {
    let mut spells: Vec<_> = DRIZZLE
        .iter()
        .filter(|_| chance.random_bool(0.6))
        .map(|&(kind, on, share)| Spell {
            from: Duration::ZERO,
            until: Duration::MAX,
            trouble: Trouble::Fault(Fault::new(kind).on(on).share(share)),
        })
        .collect();
    if chance.random_bool(0.6) {
        // WeChat Pay is behind itself. One denial is doubted; two, a minute apart and long after the
        // last create, are believed.
        let denial = Fault::new(FaultKind::NotFound).on(Target::Query).share(0.3).each(1);
        spells.push(Spell { from: Duration::ZERO, until: Duration::MAX, trouble: Trouble::Fault(denial) });
    }
    for _ in 0..chance.random_range(0..=3) {
        let storm = STORMS[chance.random_range(0..STORMS.len())];
        let (from, until) = span(chance);
        spells.push(Spell { from, until, trouble: Trouble::Fault(Fault::new(storm)) });
    }
    if chance.random_bool(0.1) {
        let (from, until) = span(chance);
        let denial = Fault::new(FaultKind::NotFound).on(Target::Query);
        // What it has denied and would not tell of either, only its bill could show.
        spells.retain(|spell| !spell.trouble.is(FaultKind::Silent));
        spells.push(Spell { from, until, trouble: Trouble::Denial(denial) });
    }
    for trouble in [Trouble::ShopDown, Trouble::Restart, Trouble::Restart, Trouble::JobsForgotten] {
        let is_rare = matches!(trouble, Trouble::JobsForgotten);
        if chance.random_bool(if is_rare { 0.15 } else { 0.5 }) {
            let (from, until) = span(chance);
            spells.push(Spell { from, until, trouble });
        }
    }
    spells
}

/// From half a minute to twenty minutes, most often among the first.
fn span(chance: &mut StdRng) -> (Duration, Duration) {
    let from = BEAT * chance.random_range(0..40);
    (from, from + BEAT * chance.random_range(2..80))
}

impl Trouble {
    fn is(&self, kind: FaultKind) -> bool {
        matches!(self, Self::Fault(fault) if fault.kind == kind)
    }

    /// The word for it in the figures.
    pub fn name(&self) -> String {
        match self {
            Self::Fault(fault) => format!("{:?}", fault.kind),
            Self::Denial(_) => "Denial".to_owned(),
            Self::ShopDown => "ShopDown".to_owned(),
            Self::Restart => "Restart".to_owned(),
            Self::JobsForgotten => "JobsForgotten".to_owned(),
        }
    }
}
