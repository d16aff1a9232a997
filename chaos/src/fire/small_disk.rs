//! A disk that is soon full: a filesystem in memory.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use nix::unistd::{Gid, Uid};

/// Enough for any run, as long as nobody fills it.
const SIZE: &str = "512m";

/// It is mounted as long as this lives.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it over an empty directory. For that one has to be root, be it in a namespace of one's own, as
    /// `./test.sh` sees to.
    pub fn mount(over: &Path, owner: (Uid, Gid)) -> anyhow::Result<Self> {
        let options = format!("size={SIZE},uid={},gid={},mode=700", owner.0, owner.1);
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(over).output();
        let mounted = mounted.context("running mount")?;
        ensure!(mounted.status.success(), "mount: {}", String::from_utf8_lossy(&mounted.stderr));
        Ok(Self(over.to_owned()))
    }

    /// Leaves no byte free.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::create(self.ballast())?;
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![0; size];
            let end = loop {
                if let Err(end) = ballast.write_all(&block) {
                    break end;
                }
            };
            ensure!(end.kind() == ErrorKind::StorageFull, "filling the disk: {end}");
        }
        Ok(())
    }

    pub fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it until then.
        Command::new("umount").arg("--lazy").arg(&self.0).output().ok();
    }
}
