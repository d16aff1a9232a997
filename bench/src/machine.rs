//! What the machine did meanwhile: whose time its cores spent, and how fast its disk was.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{disk::Probe, load::Spans};

/// Ticks in `/proc`; the kernel shows a hundred a second on every platform.
const TICK: Duration = Duration::from_millis(10);

/// Watches the machine during a run.
pub struct Watch {
    postmaster: Option<i32>,
    cores: u32,
    data: PathBuf,
    begun: Option<Begun>,
}

struct Begun {
    at: Instant,
    busy: Duration,
    ours: Duration,
    disk: Probe,
}

/// What was seen during a run.
pub struct Meanwhile {
    /// The part of all cores, from 0 to 1, that went to others than the database, this program, and what
    /// this program started.
    pub others: f64,
    /// How many cores had nothing to do, on average.
    pub idle: f64,
    /// A durable write of 8 KiB beside the database's data.
    pub fsync: Spans,
}

impl Watch {
    /// The database is Postgres if its data lie in that directory.
    pub fn over(data: &Path) -> Self {
        let postmaster = fs::read_to_string(data.join("postmaster.pid")).ok();
        let postmaster = postmaster.and_then(|file| file.lines().next()?.trim().parse().ok());
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(1);
        Self { postmaster, cores, data: data.to_owned(), begun: None }
    }

    pub fn begin(&mut self) -> anyhow::Result<()> {
        let disk = Probe::start(&self.data)?;
        self.begun = Some(Begun { at: Instant::now(), busy: busy(), ours: self.ours(), disk });
        Ok(())
    }

    pub fn end(&mut self) -> anyhow::Result<Meanwhile> {
        let begun = self.begun.take().context("nothing was begun")?;
        let (span, busy) = (begun.at.elapsed(), busy() - begun.busy);
        let theirs = busy.saturating_sub(self.ours().saturating_sub(begun.ours));
        let others = theirs.div_duration_f64(span * self.cores);
        let idle = (span * self.cores).saturating_sub(busy).div_duration_f64(span);
        Ok(Meanwhile { others, idle, fsync: begun.disk.stop()? })
    }

    fn ours(&self) -> Duration {
        let me = i32::try_from(std::process::id()).ok();
        let is_ours = |stat: &str| {
            let parent = parent_of(stat);
            parent.is_some() && (parent == me || parent == self.postmaster)
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
        let theirs: Duration = stats.filter(|stat| is_ours(stat)).filter_map(|stat| cpu_of(&stat)).sum();
        let own = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        theirs + cpu_of(&own).unwrap_or_default() + cpu_of_ended_children(&own).unwrap_or_default()
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
    user_and_system(stat, 11)
}

fn cpu_of_ended_children(stat: &str) -> Option<Duration> {
    user_and_system(stat, 13)
}

fn user_and_system(stat: &str, behind: usize) -> Option<Duration> {
    let mut fields = behind_the_name(stat)?.skip(behind);
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

impl Meanwhile {
    /// Was the machine ours? A single write of 8 KiB that took longer, or somebody else's work, says
    /// more about the tail of that run than we do.
    pub fn was_quiet(&self) -> bool {
        const STALL: Duration = Duration::from_millis(30);
        const OTHERS: f64 = 0.1;
        self.fsync.max() <= STALL && self.others <= OTHERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_behind_a_name_of_any_kind() {
        let stat = "7 (a ) b) S 42 7 7 0 -1 4194560 100 0 0 0 250 50 70 30 20 0 3 0 1 2 3";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_of_ended_children(stat), Some(Duration::from_secs(1)));
        assert_eq!(parent_of(stat), Some(42));
    }

    #[test]
    fn waiting_for_the_disk_is_not_work() {
        let stat = "cpu  100 10 50 9000 800 5 15 20 0 0\ncpu0 1 2 3\n";
        assert_eq!(busy_of(stat), Some(Duration::from_secs(2)));
    }
}
