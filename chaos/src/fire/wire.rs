//! A wire between two parties, over TCP: it passes on what comes, until it is told otherwise.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use testkit::process::free_port;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

/// How the wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Clear,
    /// What comes is passed on later by this, in both directions.
    Slow(Duration),
    /// Each connection breaks when so many bytes have passed in a direction.
    CutAfter(usize),
    /// Connections break at once: those that are there, and those that are made.
    Reset,
    /// Nothing comes through and nobody is told; what was sent arrives when it is over.
    BlackHole,
    /// Nobody listens, and the connections that are there break.
    Refused,
}

/// Ends with its value, and every connection over it.
#[derive(Debug)]
pub struct Wire {
    pub addr: SocketAddr,
    state: watch::Sender<State>,
    requests: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Ends {
    addr: SocketAddr,
    /// Connections go to these by turns; whoever does not take one is passed over.
    to: Arc<[SocketAddr]>,
    turn: Arc<AtomicUsize>,
    state: watch::Receiver<State>,
    requests: Arc<AtomicU64>,
}

/// Whoever does not take a connection within this is not there.
const CONNECT_MAX: Duration = Duration::from_secs(1);

impl Wire {
    pub fn lay(to: Vec<SocketAddr>) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (state, changes) = watch::channel(State::Clear);
        let requests = Arc::new(AtomicU64::new(0));
        let ends =
            Ends { addr, to: to.into(), turn: Arc::default(), state: changes, requests: requests.clone() };
        Self { addr, state, requests, server: tokio::spawn(ends.serve()) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// The requests by HTTP that have been begun over it.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Ends {
    async fn serve(self) {
        let mut connections = JoinSet::new();
        let mut state = self.state.clone();
        while state.wait_for(|state| *state != State::Refused).await.is_ok() {
            let Ok(listener) = TcpListener::bind(self.addr).await else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((client, _)) = accepted {
                            connections.spawn(self.clone().carry(client));
                        }
                    }
                    refused = state.wait_for(|state| *state == State::Refused) => {
                        if refused.is_err() {
                            return;
                        }
                        break;
                    }
                    // So that they do not pile up.
                    Some(_) = connections.join_next() => {}
                }
            }
        }
    }

    async fn carry(mut self, mut client: TcpStream) {
        let mut state = self.state.clone();
        let broken = state.wait_for(|state| matches!(state, State::Reset | State::Refused));
        tokio::select! {
            // Either end may hang up, and a broken wire says why to nobody.
            _ = self.join(&mut client) => {}
            _ = broken => drop(client.set_zero_linger()),
        }
    }

    async fn join(&mut self, client: &mut TcpStream) -> io::Result<()> {
        self.passes().await;
        let mut server = self.connect().await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            ended = self.pass(from_client, to_server, true) => ended,
            ended = self.pass(from_server, to_client, false) => ended,
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for nth in 0..self.to.len() {
            let to = self.to[(turn + nth) % self.to.len()];
            if let Ok(Ok(server)) = timeout(CONNECT_MAX, TcpStream::connect(to)).await {
                return Ok(server);
            }
        }
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    async fn pass(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, asks: bool) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        let mut passed = 0;
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let read = &buffer[..read];
            if asks && (read.starts_with(b"POST ") || read.starts_with(b"GET ")) {
                self.requests.fetch_add(1, Ordering::Relaxed);
            }
            match self.passes().await {
                State::Slow(by) => sleep(by).await,
                State::CutAfter(most) if passed + read.len() > most => {
                    to.write_all(&read[..most.saturating_sub(passed)]).await?;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                _ => {}
            }
            to.write_all(read).await?;
            passed += read.len();
        }
    }

    /// Waits while nothing comes through.
    async fn passes(&self) -> State {
        let mut state = self.state.clone();
        // The wire is gone together with whoever could say otherwise.
        state.wait_for(|state| *state != State::BlackHole).await.map_or(State::Reset, |state| *state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says back what it hears.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        addr
    }

    async fn connect(wire: &Wire) -> TcpStream {
        loop {
            if let Ok(stream) = TcpStream::connect(wire.addr).await {
                return stream;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn says(stream: &mut TcpStream, words: &str) -> io::Result<String> {
        stream.write_all(words.as_bytes()).await?;
        let mut heard = vec![0; words.len()];
        stream.read_exact(&mut heard).await?;
        Ok(String::from_utf8(heard).unwrap())
    }

    #[tokio::test]
    async fn what_comes_is_passed_on_until_the_wire_breaks() {
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let wire = Wire::lay(vec![nobody, echo().await]);
        let mut stream = connect(&wire).await;
        assert_eq!(says(&mut stream, "GET / HTTP/1.1").await.unwrap(), "GET / HTTP/1.1");
        assert_eq!(wire.requests(), 1);
        wire.set(State::Reset);
        assert!(says(&mut stream, "hello").await.is_err());
        wire.set(State::CutAfter(3));
        let mut stream = connect(&wire).await;
        assert!(says(&mut stream, "hello").await.is_err());
        wire.set(State::Clear);
        assert_eq!(says(&mut connect(&wire).await, "hello").await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn what_fell_into_a_black_hole_arrives_when_it_is_over() {
        let wire = Wire::lay(vec![echo().await]);
        let mut stream = connect(&wire).await;
        assert_eq!(says(&mut stream, "before").await.unwrap(), "before");
        wire.set(State::BlackHole);
        let mut heard = Box::pin(says(&mut stream, "in it"));
        assert!(timeout(Duration::from_millis(50), &mut heard).await.is_err());
        wire.set(State::Clear);
        assert_eq!(heard.await.unwrap(), "in it");
    }

    #[tokio::test]
    async fn where_nobody_listens_a_connection_is_refused() {
        let wire = Wire::lay(vec![echo().await]);
        let mut stream = connect(&wire).await;
        assert_eq!(says(&mut stream, "hello").await.unwrap(), "hello");
        wire.set(State::Refused);
        assert!(says(&mut stream, "hello").await.is_err());
        // The listener goes as soon as the wire hears of it.
        while TcpStream::connect(wire.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
        wire.set(State::Clear);
        assert_eq!(says(&mut connect(&wire).await, "hello").await.unwrap(), "hello");
    }
}
