//! Whose time it was: how busy the machine's cores are, and with what.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Ticks in `/proc`; the kernel shows a hundred a second on every platform.
const TICK: Duration = Duration::from_millis(10);

/// Counts the time that the cores spend on others than server, database and this program.
pub struct Others {
    server: i32,
    postmaster: Option<i32>,
    cores: u32,
    started: Instant,
    busy: Duration,
    ours: Duration,
}

impl Others {
    /// Begins to count. The database is Postgres if its data lie in that directory.
    pub fn watch(server: i32, data: &Path) -> Self {
        let postmaster = fs::read_to_string(data.join("postmaster.pid")).ok();
        let postmaster = postmaster.and_then(|file| file.lines().next()?.trim().parse().ok());
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut others = Self {
            server,
            postmaster,
            cores: u32::try_from(cores).unwrap_or(1),
            started: Instant::now(),
            busy: Duration::ZERO,
            ours: Duration::ZERO,
        };
        others.again();
        others
    }

    pub fn again(&mut self) {
        (self.started, self.busy, self.ours) = (Instant::now(), busy(), self.ours());
    }

    /// Their part of all cores since, from 0 to 1.
    pub fn share(&self) -> f64 {
        let theirs = (busy() - self.busy).saturating_sub(self.ours().saturating_sub(self.ours));
        theirs.div_duration_f64(self.started.elapsed() * self.cores)
    }

    fn ours(&self) -> Duration {
        let of = |pid: &str| cpu_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
        let mut ours = of("self").unwrap_or_default() + of(&self.server.to_string()).unwrap_or_default();
        if let Some(postmaster) = self.postmaster {
            let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
            for process in processes {
                let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
                if parent_of(&stat) == Some(postmaster) {
                    ours += cpu_of(&stat).unwrap_or_default();
                }
            }
        }
        ours
    }
}

/// All the time that any core was not idle.
fn busy() -> Duration {
    fs::read_to_string("/proc/stat").ok().and_then(|stat| busy_of(&stat)).unwrap_or_default()
}

fn busy_of(stat: &str) -> Option<Duration> {
    let fields: Vec<u32> =
        stat.lines().next()?.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let [user, nice, system, _, _, irq, softirq, steal, ..] = fields[..] else { return None };
    Some(TICK * (user + nice + system + irq + softirq + steal))
}

/// User and system time of a process, from its `/proc/PID/stat`.
pub fn cpu_of(stat: &str) -> Option<Duration> {
    let mut fields = behind_the_name(stat)?.skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

fn parent_of(stat: &str) -> Option<i32> {
    behind_the_name(stat)?.nth(1)?.parse().ok()
}

/// The name in parentheses may hold anything; the fields are counted behind it.
fn behind_the_name(stat: &str) -> Option<std::str::SplitWhitespace<'_>> {
    Some(stat.rsplit(')').next()?.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_behind_a_name_of_any_kind() {
        let stat = "7 (a ) b) S 42 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 1 2 3";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(3)));
        assert_eq!(parent_of(stat), Some(42));
    }

    #[test]
    fn waiting_for_the_disk_is_not_work() {
        let stat = "cpu  100 10 50 9000 800 5 15 20 0 0\ncpu0 1 2 3\n";
        assert_eq!(busy_of(stat), Some(Duration::from_secs(2)));
    }
}
