//! One process of everpaid under a keeper, which starts it again whenever it ends.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use testkit::process::{Process, is_killed};
use tokio::{
    process::Command,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, interval, sleep, timeout},
};

/// As a service manager does it: not at once, or one that cannot start keeps a core busy.
const RESTART_AFTER: Duration = Duration::from_millis(200);
const READY_MAX: Duration = Duration::from_secs(60);
/// A run of a job may take 20 s, and stopping waits for it.
const STOP_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const WEIGH_EVERY: Duration = Duration::from_millis(500);

/// What is run under the name `everpaid`: one, or two by turns.
#[derive(Clone, Debug)]
pub struct Executables(Vec<PathBuf>);

impl Executables {
    /// Processes begin with the previous one, if there is one, and change at each orderly restart.
    pub fn new(newest: &Path, previous: Option<&Path>) -> Self {
        Self(previous.into_iter().chain([newest]).map(Path::to_owned).collect())
    }

    pub fn newest(&self) -> &Path {
        self.nth(self.0.len() - 1)
    }

    fn nth(&self, nth: usize) -> &Path {
        &self.0[nth % self.0.len()]
    }
}

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Spec {
    pub name: String,
    /// `serve`, `api` or `worker`.
    pub role: &'static str,
    pub executables: Executables,
    /// Where its configuration and its log are.
    pub directory: PathBuf,
    pub listen: SocketAddr,
    pub metrics: SocketAddr,
    /// The library that shifts its clock; without one its clock cannot be stepped.
    pub faketime: Option<PathBuf>,
}

/// What is done to it.
#[derive(Clone, Debug)]
enum Deed {
    /// `kill -9`; in its next life it may die by itself, as `FAILPOINTS` says.
    Kill(Option<String>),
    Freeze(Duration),
    /// Told to stop, and started again when it has.
    Restart,
    /// Told to stop, for good.
    Stop,
}

/// Its keeper ends with it, and the process with its keeper.
#[derive(Debug)]
pub struct Member {
    pub spec: Spec,
    deeds: mpsc::Sender<(Deed, oneshot::Sender<anyhow::Result<()>>)>,
    counts: Arc<Counts>,
    keeper: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    resident_max_kib: AtomicU64,
    /// It died at a step that was named.
    died_at_step: AtomicU64,
    /// It ended in another way, unasked.
    ended: AtomicU64,
}

impl Member {
    pub fn start(spec: Spec) -> anyhow::Result<Self> {
        let process = spec.start(0, None)?;
        let (deeds, orders) = mpsc::channel(16);
        let counts = Arc::new(Counts::default());
        let keeper = tokio::spawn(keep(spec.clone(), process, orders, counts.clone()));
        Ok(Self { spec, deeds, counts, keeper })
    }

    pub async fn kill(&self, next_life: Option<String>) -> anyhow::Result<()> {
        self.suffers(Deed::Kill(next_life)).await
    }

    pub async fn freeze(&self, span: Duration) -> anyhow::Result<()> {
        self.suffers(Deed::Freeze(span)).await
    }

    /// In order, and ready again.
    pub async fn restart(&self, http: &reqwest::Client) -> anyhow::Result<()> {
        self.suffers(Deed::Restart).await?;
        self.ready(http).await
    }

    pub async fn stop(&self) -> anyhow::Result<()> {
        self.suffers(Deed::Stop).await
    }

    async fn suffers(&self, deed: Deed) -> anyhow::Result<()> {
        let (done, ended) = oneshot::channel();
        self.deeds.send((deed, done)).await.ok().context("its keeper is gone")?;
        ended.await.context("its keeper is gone")?.with_context(|| self.spec.name.clone())
    }

    /// Steps its clock to this far ahead of the machine's, or behind.
    pub fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        self.spec.set_clock(seconds)
    }

    /// Waits until it does its work.
    pub async fn ready(&self, http: &reqwest::Client) -> anyhow::Result<()> {
        let url = match self.spec.role {
            "worker" => format!("http://{}/metrics", self.spec.metrics),
            _ => format!("http://{}/readyz", self.spec.listen),
        };
        let end = Instant::now() + READY_MAX;
        while Instant::now() < end {
            if http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("{} is not ready after {READY_MAX:?}: {}", self.spec.name, self.log_end())
    }

    /// What it says of itself to a load balancer, whether it is ready or not.
    pub async fn readiness(&self, http: &reqwest::Client) -> anyhow::Result<serde_json::Value> {
        Ok(http.get(format!("http://{}/readyz", self.spec.listen)).send().await?.json().await?)
    }

    /// Would it answer anybody?
    pub async fn is_alive(&self, http: &reqwest::Client) -> bool {
        http.get(format!("http://{}/livez", self.spec.listen)).send().await.is_ok()
    }

    pub fn resident_max_kib(&self) -> u64 {
        self.counts.resident_max_kib.load(Ordering::Relaxed)
    }

    pub fn died_at_step(&self) -> u64 {
        self.counts.died_at_step.load(Ordering::Relaxed)
    }

    pub fn ended(&self) -> u64 {
        self.counts.ended.load(Ordering::Relaxed)
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.spec.log()).unwrap_or_default()
    }

    /// The last lines of it.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let mut last: Vec<_> = log.lines().rev().take(20).collect();
        last.reverse();
        last.join("\n")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Spec {
    fn start(&self, release: usize, failpoints: Option<&str>) -> anyhow::Result<Process> {
        let mut command = Command::new(self.executables.nth(release));
        command
            .arg0("everpaid")
            .arg(self.role)
            .arg("--config")
            .arg(self.directory.join("everpaid.toml"))
            .env("EVERPAID__LISTEN", self.listen.to_string())
            .env("EVERPAID__METRICS_LISTEN", self.metrics.to_string())
            .env("RUST_LOG", "warn")
            .env_remove("FAILPOINTS");
        if let Some(failpoints) = failpoints {
            command.env("FAILPOINTS", failpoints);
        }
        if let Some(library) = &self.faketime {
            if !self.clock().exists() {
                self.set_clock(0)?;
            }
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.clock())
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("FAKETIME_CACHE_DURATION", "1");
        }
        Process::start(&mut command, &self.log())
    }

    fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        // Renamed into its place, so that nobody reads half of it.
        let half = self.clock().with_extension("new");
        fs::write(&half, format!("{seconds:+}\n"))?;
        Ok(fs::rename(half, self.clock())?)
    }

    fn clock(&self) -> PathBuf {
        self.directory.join(format!("{}.clock", self.name))
    }

    fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.name))
    }
}

/// Starts it again when it ends, and does to it what is asked.
async fn keep(
    spec: Spec,
    mut process: Process,
    mut deeds: mpsc::Receiver<(Deed, oneshot::Sender<anyhow::Result<()>>)>,
    counts: Arc<Counts>,
) {
    let mut weigh = interval(WEIGH_EVERY);
    let mut named_step = false;
    let mut release = 0;
    let mut left_behind = SharedClock::of(&process);
    loop {
        tokio::select! {
            deed = deeds.recv() => {
                let Some((deed, done)) = deed else { return };
                let is_last = matches!(deed, Deed::Stop);
                named_step = match &deed {
                    Deed::Kill(next_life) => next_life.is_some(),
                    Deed::Restart => false,
                    Deed::Freeze(_) | Deed::Stop => named_step,
                };
                release += usize::from(matches!(deed, Deed::Restart));
                let did = spec.suffer(process, deed, release).await;
                let (next, result) = match did {
                    Ok(next) => (next, Ok(())),
                    Err(error) => (None, Err(error)),
                };
                // Whoever asked may have been stopped meanwhile.
                done.send(result).ok();
                let next = match next {
                    None if !is_last => spec.start(release, None).ok(),
                    next => next,
                };
                let Some(next) = next else { return };
                process = next;
                drop(std::mem::replace(&mut left_behind, SharedClock::of(&process)));
            }
            ended = process.wait() => {
                let Ok(status) = ended else { return };
                let count = if named_step && is_killed(status) { &counts.died_at_step } else { &counts.ended };
                count.fetch_add(1, Ordering::Relaxed);
                sleep(RESTART_AFTER).await;
                named_step = false;
                let Ok(next) = spec.start(release, None) else { return };
                process = next;
                drop(std::mem::replace(&mut left_behind, SharedClock::of(&process)));
            }
            _ = weigh.tick() => {
                if let Some(kib) = process.resident_max_kib() {
                    counts.resident_max_kib.fetch_max(kib, Ordering::Relaxed);
                }
            }
        }
    }
}

impl Spec {
    /// The process that is there afterwards.
    async fn suffer(
        &self,
        mut process: Process,
        deed: Deed,
        release: usize,
    ) -> anyhow::Result<Option<Process>> {
        match deed {
            Deed::Kill(next_life) => {
                // It may have died at its step a moment ago, which is as good.
                if process.ended()?.is_none() {
                    process.kill().await?;
                }
                Ok(Some(self.start(release, next_life.as_deref())?))
            }
            Deed::Freeze(span) => {
                process.signal(Signal::SIGSTOP)?;
                sleep(span).await;
                process.signal(Signal::SIGCONT)?;
                Ok(Some(process))
            }
            Deed::Restart => {
                process.signal(Signal::SIGTERM)?;
                // Told in its first moments it ends like anybody, and not in order.
                timeout(STOP_MAX, process.wait()).await.context("it did not stop at SIGTERM")??;
                Ok(Some(self.start(release, None)?))
            }
            Deed::Stop => {
                process.stop().await?;
                Ok(None)
            }
        }
    }
}

/// What the library that shifts a process' clock shares with its children, and leaves behind when the
/// process is killed.
struct SharedClock(Option<u32>);

impl SharedClock {
    fn of(process: &Process) -> Self {
        Self(process.id())
    }
}

impl Drop for SharedClock {
    fn drop(&mut self) {
        let Some(id) = self.0 else { return };
        // What ended in order has tidied up itself.
        fs::remove_file(format!("/dev/shm/faketime_shm_{id}")).ok();
        fs::remove_file(format!("/dev/shm/sem.faketime_sem_{id}")).ok();
    }
}

/// Where Debian's package puts the library that shifts a process' clock.
pub fn faketime() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").ok()?;
    let library = |directory: &Path| directory.join("faketime/libfaketimeMT.so.1");
    libraries.flatten().map(|entry| library(&entry.path())).find(|path| path.exists())
}
