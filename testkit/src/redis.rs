//! A Redis of a test's own, which may be broken in every way.

use std::{
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::process::free_port;

/// A `redis-server` (Debian: redis-server) that keeps nothing and ends with this value.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    directory: TempDir,
    is_awake: AtomicBool,
}

impl RedisServer {
    /// Starts one on a free port and waits until it answers.
    ///
    /// # Panics
    ///
    /// If there is none on this machine, or it does not answer.
    pub fn start() -> Self {
        // It may be started again there.
        let port = free_port();
        let directory = tempfile::tempdir().expect("a directory");
        Self { child: spawn(port, &directory), port, directory, is_awake: true.into() }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it where it stands, as a machine does that swaps; connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        self.is_awake.store(false, Ordering::Relaxed);
    }

    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
        self.is_awake.store(true, Ordering::Relaxed);
    }

    /// Would it answer?
    pub fn is_awake(&self) -> bool {
        self.is_awake.load(Ordering::Relaxed)
    }

    /// Ends it at once; everything in it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
        self.is_awake.store(false, Ordering::Relaxed);
    }

    /// Starts it again, empty, at the same address.
    pub fn start_again(&mut self) {
        self.child = spawn(self.port, &self.directory);
        self.is_awake.store(true, Ordering::Relaxed);
    }

    /// Says something to it, by `redis-cli`, and gives back the answer.
    pub fn say(&self, words: &[&str]) -> String {
        let said = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words).output();
        let said = said.expect("redis-cli runs");
        assert!(said.status.success(), "{words:?}: {said:?}");
        String::from_utf8(said.stdout).expect("text").trim().to_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // A frozen process is killed as well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(port: u16, directory: &TempDir) -> Child {
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--dir".as_ref(), directory.path().as_os_str()])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed; ./test.sh does that");
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "redis-server does not listen");
        std::thread::yield_now();
    }
    child
}
