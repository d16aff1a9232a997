//! What the disk asks for a promise: the time of one small durable write.

use std::{fs::File, os::unix::fs::FileExt, path::Path, time::Instant};

use anyhow::Context;

use crate::load::Spans;

/// As much as a page of Postgres' log.
const BLOCK: usize = 8192;
const WRITES: u64 = 400;

/// Times `write` + `fdatasync` of 8 KiB, one after the other, in a directory. Like a database's
/// log, the file is there beforehand and is overwritten.
pub fn fsync_cost(directory: &Path) -> anyhow::Result<Spans> {
    let path = directory.join("fsync-probe");
    let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    let block = [0x5a; BLOCK];
    let at = |number: u64| number * BLOCK as u64;
    for number in 0..WRITES {
        file.write_all_at(&block, at(number))?;
    }
    file.sync_all()?;
    let mut spans = Vec::new();
    for number in 0..WRITES {
        let started = Instant::now();
        file.write_all_at(&block, at(number))?;
        file.sync_data()?;
        spans.push(started.elapsed());
    }
    std::fs::remove_file(&path)?;
    Ok(Spans::of(spans))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_durable_write_takes_time_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let spans = super::fsync_cost(directory.path()).unwrap();
        assert!(!spans.max().is_zero());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
