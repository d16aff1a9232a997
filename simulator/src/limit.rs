//! How often something may happen in a second.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// So many calls by each caller in each second of the clock.
pub(crate) struct PerSecond {
    most: u32,
    /// The last second in which a caller called, and how often.
    calls: Mutex<HashMap<String, (i64, u32)>>,
}

impl PerSecond {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, calls: Mutex::default() }
    }

    /// Counts a call at a moment in Unix milliseconds; is it within the limit?
    pub(crate) fn allows(&self, caller: &str, now: i64) -> bool {
        let second = now.div_euclid(1000);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, count) = calls.entry(caller.to_owned()).or_insert((second, 0));
        if *at != second {
            (*at, *count) = (second, 0);
        }
        *count = count.saturating_add(1);
        *count <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_so_many_calls_a_second() {
        let limit = PerSecond::new(2);
        let allowed =
            [("a", 0), ("a", 999), ("a", 999), ("b", 999), ("a", 1000), ("a", 1001), ("a", 1002), ("a", 0)]
                .map(|(caller, now)| limit.allows(caller, now));
        assert_eq!(allowed, [true, true, false, true, true, true, false, true]);
    }
}
