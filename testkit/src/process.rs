//! A process of a test, and its signals. None outlives whoever started it.

use std::{
    fs::{self, File, OpenOptions},
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// A run of a job may take 20 s, and stopping waits for it.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it, with everything it says at the end of a file.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(File::try_clone(&log)?).stderr(log).kill_on_drop(true);
        Ok(Self(command.spawn().with_context(|| format!("starting {:?}", command.as_std().get_program()))?))
    }

    /// Its number; none if it is gone.
    pub fn id(&self) -> Option<u32> {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.0.wait().await?)
    }

    /// Waits for the end by SIGKILL that was prepared for it.
    pub async fn died(&mut self) -> anyhow::Result<()> {
        let status = self.0.wait().await?;
        ensure!(is_killed(status), "the process ended by itself: {status}");
        Ok(())
    }

    /// `kill -9`.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        ensure!(self.0.try_wait()?.is_none(), "the process was gone before it was killed");
        self.0.start_kill()?;
        self.died().await
    }

    /// SIGTERM; it has to end in order and say so.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = timeout(STOP_MAX, self.0.wait()).await.context("it did not stop at SIGTERM")??;
        ensure!(status.success(), "SIGTERM was answered with {status}");
        Ok(())
    }

    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // Not waited for yet, so the number cannot be another process'.
        let id = self.0.id().context("it was gone before it was sent a signal")?;
        signal::kill(Pid::from_raw(i32::try_from(id)?), signal)?;
        Ok(())
    }

    /// The most memory it ever had, in KiB; none if it is gone.
    pub fn resident_max_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

pub fn is_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGKILL as i32)
}

/// A port that stays free while its server is dead: below those that the kernel gives to outgoing
/// connections, and never given twice by this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two that are started together are a hundred ports apart.
    let start = u16::try_from(std::process::id().wrapping_mul(101) % 9_000).unwrap_or_default();
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start + next) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
