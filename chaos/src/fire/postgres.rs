//! A Postgres of our own, with its durability on, that can be ended like a machine without power.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::Signal,
    unistd::{Uid, User, chown},
};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use testkit::process::{Process, free_port};
use tokio::{
    process::Command,
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep},
};

use super::small_disk::SmallDisk;

/// Recovery after a crash takes a part of this.
const START_MAX: Duration = Duration::from_secs(60);
/// Then there is none left.
const TRIES_TO_CONNECT_FOR: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Postgres {
    pub port: u16,
    programs: PathBuf,
    directory: TempDir,
    server: Mutex<Option<Process>>,
}

/// Nobody else has a connection.
pub struct Starved<'a> {
    _held: Vec<DatabaseConnection>,
    _server: MutexGuard<'a, Option<Process>>,
}

impl Postgres {
    pub async fn start() -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let user = its_user()?;
        if Uid::effective().is_root() {
            chown(directory.path(), Some(user.uid), Some(user.gid))?;
        }
        let postgres = Self { port: free_port(), programs: programs()?, directory, server: Mutex::default() };
        let made = postgres
            .program("initdb")
            .args(["-U", "everpaid", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C", "-D"])
            .arg(postgres.data())
            .output()
            .await
            .context("running initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        *postgres.server.lock().await = Some(postgres.start_server()?);
        postgres.answers().await?;
        Ok(postgres)
    }

    /// Its database, over that port.
    pub fn url(&self, port: u16) -> String {
        format!("postgres://everpaid@127.0.0.1:{port}/postgres")
    }

    /// Ends it without a word to the disk, and starts it again: it recovers from its log.
    pub async fn crash(&self) -> anyhow::Result<()> {
        let mut server = self.server.lock().await;
        self.end(server.take()).await?;
        *server = Some(self.start_server()?);
        self.answers().await
    }

    /// Has the rows of all tables to come written to a disk of their own; its log stays where it is.
    pub async fn move_to_small_disk(&self) -> anyhow::Result<SmallDisk> {
        let over = self.directory.path().join("small");
        fs::create_dir(&over)?;
        let user = its_user()?;
        let disk = SmallDisk::mount(&over, (user.uid, user.gid))?;
        let space = over.join("space");
        fs::create_dir(&space)?;
        chown(&space, Some(user.uid), Some(user.gid))?;
        let connection = Database::connect(self.url(self.port)).await?;
        let made = format!("CREATE TABLESPACE small LOCATION '{}'", space.display());
        connection.execute_unprepared(&made).await?;
        connection.execute_unprepared("ALTER ROLE everpaid SET default_tablespace = small").await?;
        connection.close().await?;
        Ok(disk)
    }

    /// Takes every connection that there is and ends those of others, until the answer is dropped. It does
    /// not crash meanwhile.
    pub async fn starve(&self) -> anyhow::Result<Starved<'_>> {
        let server = self.server.lock().await;
        let mut options = ConnectOptions::new(format!("{}?application_name=greedy", self.url(self.port)));
        options.max_connections(1).connect_timeout(START_MAX).sqlx_logging(false);
        let mut held = vec![Database::connect(options.clone()).await?];
        options.connect_timeout(TRIES_TO_CONNECT_FOR);
        loop {
            while let Ok(connection) = Database::connect(options.clone()).await {
                held.push(connection);
            }
            // Others may be quicker than we are where one was ended.
            let ended = held[0]
                .query_all_raw(Statement::from_string(
                    DbBackend::Postgres,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE backend_type = 'client backend' AND application_name <> 'greedy'",
                ))
                .await?;
            if ended.is_empty() {
                return Ok(Starved { _held: held, _server: server });
            }
        }
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        let server = self.server.lock().await.take();
        self.end(server).await
    }

    /// The immediate shutdown (`pg_ctl stop -m immediate`), after which nothing of it runs.
    async fn end(&self, server: Option<Process>) -> anyhow::Result<()> {
        let mut server = server.context("Postgres runs")?;
        server.signal(Signal::SIGQUIT)?;
        server.wait().await?;
        Ok(())
    }

    fn start_server(&self) -> anyhow::Result<Process> {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data());
        let directory = self.directory.path().display();
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={directory}"),
            "max_connections=200".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        Process::start(&mut command, &self.directory.path().join("log"))
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let end = Instant::now() + START_MAX;
        loop {
            match Database::connect(self.url(self.port)).await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) if Instant::now() > end => {
                    let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                    return Err(error).with_context(|| format!("Postgres does not start: {log}"));
                }
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// It refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = match Uid::effective().is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        command.current_dir(self.directory.path());
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

/// Who runs it: not root.
fn its_user() -> anyhow::Result<User> {
    let user = match Uid::effective() {
        root if root.is_root() => User::from_name("postgres")?,
        me => User::from_uid(me)?,
    };
    user.context("there is no user postgres")
}

/// Debian keeps the programs of each version by themselves.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("Postgres is not installed")?;
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.flatten().map(|entry| entry.path()).max_by_key(|path| version(path));
    Ok(newest.context("Postgres is not installed")?.join("bin"))
}
