//! Luck that can be repeated.
//!
//! Whatever the simulator leaves to luck is drawn here. A draw depends on the seed, on what it is
//! for, on what it is about, and on how often that was asked before; not on what else happens at
//! the same time. So a run with the same seed and the same orders goes wrong in the same places,
//! however its requests interleave. Keys, nonces and ids are not luck: nobody's behaviour depends
//! on them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

pub(crate) struct Chance {
    seed: u64,
    /// What was drawn for before, by its hash.
    draws: Mutex<HashMap<u64, Drawn>>,
}

#[derive(Clone, Copy, Default)]
struct Drawn {
    times: u32,
    /// Did it happen the last time, when it may not happen twice in a row?
    happened: bool,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, draws: Mutex::default() }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Does it happen this time? `share` is from 0, never, to 1, always.
    pub(crate) fn happens(&self, share: f64, purpose: &str, subject: &str) -> bool {
        share > 0.0 && self.draw(purpose, subject) < share
    }

    /// Does it happen this time? Never twice in a row to the same subject.
    pub(crate) fn happens_and_spares(&self, share: f64, purpose: &str, subject: &str) -> bool {
        if share == 0.0 {
            return false;
        }
        let happens = |drawn: &mut Drawn, part: f64| {
            drawn.happened = !drawn.happened && part < share;
            drawn.happened
        };
        self.next(self.about(purpose, subject), happens)
    }

    /// Is the subject one of those to which it happens? It stays so, however often it is asked.
    pub(crate) fn picks(&self, share: f64, purpose: &str, subject: &str) -> bool {
        part(self.about(purpose, subject)) < share
    }

    /// A number from 0 up to and not including 1.
    pub(crate) fn draw(&self, purpose: &str, subject: &str) -> f64 {
        self.next(self.about(purpose, subject), |_, part| part)
    }

    fn next<T>(&self, about: u64, decide: impl FnOnce(&mut Drawn, f64) -> T) -> T {
        let mut draws = self.draws.lock().unwrap_or_else(PoisonError::into_inner);
        let drawn = draws.entry(about).or_default();
        drawn.times += 1;
        let part = part(hash(&[&about.to_be_bytes(), &drawn.times.to_be_bytes()]));
        decide(drawn, part)
    }

    fn about(&self, purpose: &str, subject: &str) -> u64 {
        hash(&[&self.seed.to_be_bytes(), purpose.as_bytes(), b"\0", subject.as_bytes()])
    }
}

/// 32 bits are exact in an f64, and fine enough for a share.
fn part(drawn: u64) -> f64 {
    f64::from((drawn >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
}

fn hash(parts: &[&[u8]]) -> u64 {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part)).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Vec<bool> {
        let chance = Chance::new(seed);
        (0..1000).map(|i| chance.happens(0.25, "probe", &format!("ORDER-{}", i / 2))).collect()
    }

    #[test]
    fn a_seed_repeats_and_another_differs() {
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let hits = drawn(7).into_iter().filter(|hit| *hit).count();
        assert!((180..320).contains(&hits), "{hits} of 1000");
    }

    #[test]
    fn what_else_happens_changes_nothing() {
        let (alone, busy) = (Chance::new(1), Chance::new(1));
        let first = alone.draw("probe", "A");
        let second = alone.draw("probe", "A");
        assert_ne!(first.to_bits(), second.to_bits());
        busy.draw("probe", "B");
        busy.draw("delay", "A");
        assert_eq!((busy.draw("probe", "A"), busy.draw("probe", "A")), (first, second));
    }

    #[test]
    fn never_and_always() {
        let chance = Chance::new(3);
        assert!((0..100).all(|_| chance.happens(1.0, "x", "y") && !chance.happens(0.0, "x", "y")));
        assert!(chance.picks(1.0, "x", "y") && !chance.picks(0.0, "x", "y"));
    }

    #[test]
    fn a_subject_that_was_hit_is_spared_the_next_time() {
        let chance = Chance::new(5);
        let always = [(); 4].map(|()| chance.happens_and_spares(1.0, "probe", "A"));
        assert_eq!(always, [true, false, true, false]);
        let some: Vec<_> = (0..1000).map(|_| chance.happens_and_spares(0.3, "probe", "B")).collect();
        assert!(some.contains(&true) && !some.windows(2).any(|two| two == [true, true]));
        assert!(!chance.happens_and_spares(0.0, "probe", "A"));
    }

    #[test]
    fn a_subject_stays_picked() {
        let chance = Chance::new(4);
        let picked = || (0..100).filter(|i| chance.picks(0.3, "x", &i.to_string())).count();
        assert_eq!(picked(), picked());
        assert!((15..45).contains(&picked()), "{}", picked());
    }
}
