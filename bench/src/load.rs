//! The load generator: so many lanes, a bounded number of acts, at a fixed rate or as fast as they go.
//!
//! At a fixed rate the clock of an act starts when it was due, not when a lane was free for it: a
//! server that stalls is charged for everyone who had to wait (no coordinated omission).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::{task::JoinSet, time::Instant};

/// When the acts begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second, whatever the server does.
    Open { per_second: f64 },
    /// Each lane begins the next act when its last one has ended.
    Closed,
}

/// What does one thing at a time: a connection, or a shop's backend.
pub trait Lane: Send + 'static {
    /// What is known of an act beside the time it took.
    type Told: Send + 'static;

    fn act(&mut self, number: usize) -> impl Future<Output = anyhow::Result<Self::Told>> + Send;
}

/// What a run brought.
pub struct Done<T> {
    /// From the first act to the end of the last.
    pub elapsed: Duration,
    /// Of those that succeeded: how long each took, and what it told.
    pub acts: Vec<(Duration, T)>,
    pub failures: Vec<anyhow::Error>,
}

/// Has the lanes do `count` acts between them, none of them twice.
pub async fn drive<L: Lane>(lanes: Vec<L>, pace: Pace, count: usize) -> Done<L::Told> {
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut running = JoinSet::new();
    for mut lane in lanes {
        let next = next.clone();
        running.spawn(async move {
            let (mut acts, mut failures) = (Vec::new(), Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return (acts, failures);
                }
                let due = match pace {
                    Pace::Open { per_second } => start + offset(number, per_second),
                    Pace::Closed => Instant::now(),
                };
                tokio::time::sleep_until(due).await;
                match lane.act(number).await {
                    Ok(told) => acts.push((due.elapsed(), told)),
                    Err(error) => failures.push(error),
                }
            }
        });
    }
    let (mut acts, mut failures) = (Vec::new(), Vec::new());
    while let Some(lane) = running.join_next().await {
        match lane {
            Ok((done, failed)) => {
                acts.extend(done);
                failures.extend(failed);
            }
            Err(error) => failures.push(error.into()),
        }
    }
    Done { elapsed: start.elapsed(), acts, failures }
}

/// How long after the start an act is due.
fn offset(number: usize, per_second: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 acts")]
    let number = number as f64;
    Duration::from_secs_f64(number / per_second)
}

/// Quantiles of spans.
#[derive(Clone, Debug)]
pub struct Spans(Histogram<u64>);

impl Spans {
    pub fn of(spans: impl IntoIterator<Item = Duration>) -> Self {
        // Three digits, from a microsecond to a minute.
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds that fit");
        for span in spans {
            histogram.saturating_record(u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1));
        }
        Self(histogram)
    }

    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sleeper {
        first: Duration,
    }

    impl Lane for Sleeper {
        type Told = usize;

        async fn act(&mut self, number: usize) -> anyhow::Result<usize> {
            tokio::time::sleep(if number == 0 { self.first } else { Duration::ZERO }).await;
            anyhow::ensure!(number != 7, "seven fails");
            Ok(number)
        }
    }

    #[test]
    fn acts_are_due_at_even_distances() {
        let due: Vec<_> = [0, 1, 2, 500].map(|number| offset(number, 250.0).as_millis()).into();
        assert_eq!(due, [0, 4, 8, 2000]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_had_to_wait_for_a_stalled_server_is_counted_as_having_waited() {
        let lanes = vec![Sleeper { first: Duration::from_secs(1) }];
        let done = drive(lanes, Pace::Open { per_second: 10.0 }, 5).await;
        let took: Vec<_> = done.acts.iter().map(|(took, _)| took.as_millis() / 100).collect();
        assert_eq!(took, [10, 9, 8, 7, 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn every_act_is_done_once_and_failures_are_kept_apart() {
        let lanes = (0..4).map(|_| Sleeper { first: Duration::from_secs(1) }).collect();
        let done = drive(lanes, Pace::Closed, 20).await;
        let mut numbers: Vec<_> = done.acts.into_iter().map(|(_, number)| number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..20).filter(|number| *number != 7).collect::<Vec<_>>());
        assert_eq!(done.failures.len(), 1);
        assert_eq!(done.elapsed.as_secs(), 1);
    }

    #[test]
    fn quantiles_are_those_of_the_spans() {
        let spans = Spans::of((1..=1000).map(Duration::from_millis));
        let near = |span: Duration, ms: u128| span.as_millis().abs_diff(ms) <= 1;
        assert!(near(spans.quantile(0.5), 500), "{:?}", spans.quantile(0.5));
        assert!(near(spans.quantile(0.99), 990), "{:?}", spans.quantile(0.99));
        assert!(near(spans.max(), 1000), "{:?}", spans.max());
    }
}
