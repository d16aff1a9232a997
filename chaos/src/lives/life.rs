//! One order's life, as chance draws it: what the payer and the shop will do, and when.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

/// What is done to an order at a moment of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The payer taps: another method or another person is a new payment.
    Open(Payer),
    /// The payer pays what is payable then.
    Pay,
    /// The payer pays the oldest payment, on a phone that still shows it.
    PayTheFirst,
    Cancel,
    /// The page asks how it stands.
    Confirm,
    /// The shop closes the order.
    Close,
    /// The shop gives a part back, in percent of the order.
    Refund(u8),
    /// The shop sends the same request for a refund once more.
    RefundAgain,
}

/// With what, and who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    Native,
    MiniProgram(u8),
}

/// What will be done, in the order of time after the order was placed.
#[derive(Clone, Debug)]
pub struct Life {
    pub amount: i64,
    pub expires_in: u64,
    pub acts: Vec<(Duration, Act)>,
}

/// Times are multiples of this, so that many lives share a moment.
pub const BEAT: Duration = Duration::from_secs(15);

impl Life {
    /// Draws a life.
    pub fn draw(chance: &mut StdRng) -> Self {
        let expires_in = *pick(chance, &[300, 900, 1800, 7200]);
        let mut life = Self { amount: chance.random_range(1..=1_000_000), expires_in, acts: Vec::new() };
        // Some orders are placed together, some later.
        let mut at = beats(chance, 0, 8);
        let first = payer(chance);
        life.act(at, Act::Open(first));
        if chance.random_bool(0.2) {
            life.act(at, Act::Open(first));
        }
        match chance.random_range(0..100) {
            // Nobody pays.
            0..8 => {}
            // The shop closes it, sometimes while the payer pays.
            8..16 => {
                at += beats(chance, 0, 10);
                life.act(at, Act::Close);
                if chance.random_bool(0.5) {
                    life.act(at, Act::Pay);
                }
            }
            // The payer changes their mind about how to pay, once or twice, or two people do.
            16..32 => {
                for _ in 0..chance.random_range(1..=3) {
                    at += beats(chance, 0, 3);
                    life.act(at, Act::Open(payer(chance)));
                    if chance.random_bool(0.3) {
                        life.act(at, Act::PayTheFirst);
                    }
                }
                at += beats(chance, 0, 4);
                life.act(at, Act::Pay);
            }
            // Walks away, comes back.
            32..44 => {
                at += beats(chance, 0, 4);
                life.act(at, Act::Cancel);
                at += beats(chance, 1, 10);
                life.act(at, Act::Open(first));
                life.act(at, Act::Pay);
            }
            // Pays at the very end of the order's time.
            44..50 => {
                at = Duration::from_secs(expires_in).saturating_sub(beats(chance, 0, 2));
                life.act(at, Act::Pay);
            }
            // Pays, and the page asks.
            50..70 => {
                at += beats(chance, 0, 4);
                life.act(at, Act::Pay);
                life.act(at, Act::Confirm);
            }
            _ => {
                at += beats(chance, 0, 15);
                life.act(at, Act::Pay);
            }
        }
        if chance.random_bool(0.25) {
            at += beats(chance, 1, 40);
            for _ in 0..chance.random_range(1..=3) {
                life.act(at, Act::Refund(*pick(chance, &[10, 30, 50, 100])));
                if chance.random_bool(0.3) {
                    life.act(at, Act::RefundAgain);
                }
                at += beats(chance, 0, 20);
            }
        }
        // An old screen, found again.
        if chance.random_bool(0.1) {
            at += beats(chance, 20, 120);
            life.act(at, Act::PayTheFirst);
        }
        life.acts.sort_by_key(|(at, _)| *at);
        life
    }

    fn act(&mut self, at: Duration, act: Act) {
        self.acts.push((at, act));
    }
}

fn payer(chance: &mut StdRng) -> Payer {
    match chance.random_range(0..3) {
        0 => Payer::Native,
        _ => Payer::MiniProgram(chance.random_range(0..2)),
    }
}

fn beats(chance: &mut StdRng, least: u32, most: u32) -> Duration {
    BEAT * chance.random_range(least..=most)
}

fn pick<'a, T>(chance: &mut StdRng, from: &'a [T]) -> &'a T {
    &from[chance.random_range(0..from.len())]
}
