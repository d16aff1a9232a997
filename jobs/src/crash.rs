//! Named steps at which a crash test ends the process, compiled in only by a feature.

/// A step after which everything in memory may be gone.
///
/// Does nothing unless the feature `crash-points` is on and `FAILPOINTS` names it, for example
/// `FAILPOINTS="job.claimed=2*off->return"`: then the third pass ends the process with SIGKILL, so
/// that nothing can be tidied up.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash_here($name)
    };
}

#[cfg(feature = "crash-points")]
#[doc(hidden)]
pub fn here(name: &str) {
    fail::fail_point!(name, |_| {
        use nix::{sys::signal, unistd::Pid};
        // What follows a SIGKILL to oneself is a matter of microseconds; wait for it.
        signal::kill(Pid::this(), signal::Signal::SIGKILL).ok();
        loop {
            std::thread::park();
        }
    });
}

#[cfg(not(feature = "crash-points"))]
#[doc(hidden)]
#[inline(always)]
pub fn here(_: &str) {}
