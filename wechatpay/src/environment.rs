//! Time and chance, handed in so that a caller can move the clock and repeat a request exactly.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::distr::{Alphanumeric, SampleString as _};

/// Where a client gets its time, and a signature its nonce.
#[derive(Clone)]
pub struct Environment {
    /// Unix time in seconds. WeChat refuses a clock that is five minutes off. It also says when a
    /// host that did not answer is tried again.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// 32 characters of `[0-9A-Za-z]`, different every time and not guessable.
    pub nonce: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Environment {
    /// The machine's clock and its cryptographic random numbers.
    pub fn system() -> Self {
        Self {
            now: Arc::new(system_now),
            nonce: Arc::new(|| Alphanumeric.sample_string(&mut rand::rng(), 32)),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(..)")
    }
}

/// A clock before 1970 reads as 0, which WeChat refuses as stale: no reason to panic here.
#[expect(clippy::disallowed_methods, reason = "the default that a caller may replace")]
fn system_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
        .unwrap_or(0)
}
