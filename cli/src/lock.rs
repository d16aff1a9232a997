//! One process owns a SQLite file.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};

/// Held as long as the process lives; the kernel lets go of it even after a SIGKILL.
#[derive(Debug)]
pub(crate) struct DataLock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl DataLock {
    /// Takes `<directory>/everpaid.lock`.
    pub fn take(directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let path = directory.join("everpaid.lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self(lock)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                bail!("another process is using {}; one process owns a SQLite database", directory.display())
            }
            Err((_, error)) => Err(error).with_context(|| format!("locking {}", path.display())),
        }
    }

    /// The directory of a `sqlite://` database; none for another.
    pub fn directory_of(url: &str) -> Option<PathBuf> {
        let file = url.strip_prefix("sqlite:")?.trim_start_matches("//");
        let file = file.split('?').next().unwrap_or(file);
        Some(
            Path::new(file)
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or(Path::new("."))
                .into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_owned_by_one() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataLock::take(directory.path()).unwrap();
        assert!(DataLock::take(directory.path()).unwrap_err().to_string().contains("another process"));
        drop(first);
        DataLock::take(directory.path()).unwrap();
    }

    #[test]
    fn a_sqlite_url_names_its_directory() {
        for (url, directory) in [
            ("sqlite://data/everpaid.sqlite", Some("data")),
            ("sqlite:///var/lib/everpaid.sqlite?mode=rwc", Some("/var/lib")),
            ("sqlite://everpaid.sqlite", Some(".")),
            ("postgres://localhost/everpaid", None),
        ] {
            assert_eq!(DataLock::directory_of(url), directory.map(PathBuf::from), "{url}");
        }
    }
}
