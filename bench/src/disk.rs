//! What the disk asks for a promise: the time of one small durable write, while the load runs.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::load::Spans;

/// As much as a page of Postgres' log.
const BLOCK: usize = 8192;

/// Often enough to see every stall that a tail shows, and nothing that a disk would notice.
const PAUSE: Duration = Duration::from_millis(10);

/// Times `write` + `fdatasync` of 8 KiB in a directory, a hundred times a second, until it is told
/// to stop. Like a database's log, the file is there beforehand and is overwritten.
pub struct Probe {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Duration>>>,
}

impl Probe {
    pub fn start(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("fsync-probe");
        let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        file.write_all_at(&[0x5a; BLOCK], 0)?;
        file.sync_all()?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = stop.clone();
            move || time_writes(&file, &stop)
        });
        Ok(Self { path, stop, thread })
    }

    pub fn stop(self) -> anyhow::Result<Spans> {
        self.stop.store(true, Ordering::Relaxed);
        let spans = self.thread.join().ok().context("the probe of the disk panicked")??;
        std::fs::remove_file(&self.path)?;
        Ok(Spans::of(spans))
    }
}

fn time_writes(file: &File, stop: &AtomicBool) -> io::Result<Vec<Duration>> {
    let mut spans = Vec::new();
    loop {
        let started = Instant::now();
        file.write_all_at(&[0x5a; BLOCK], 0)?;
        file.sync_data()?;
        spans.push(started.elapsed());
        if stop.load(Ordering::Relaxed) {
            return Ok(spans);
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_durable_write_takes_time_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let spans = super::Probe::start(directory.path()).unwrap().stop().unwrap();
        assert!(!spans.max().is_zero());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
