//! The listening socket: everything the simulator serves, on connections that can be cut.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    middleware::{self, Next},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::{
    control,
    faults::{ActiveFault, Faults},
    gateway, pages,
    wechat::Wechat,
};

/// How long to wait before trying again what the system refused.
const BREATH: Duration = Duration::from_millis(100);
const BACKLOG: u32 = 1024;

/// Serves until the simulator stops, and ends what is going on first.
pub(crate) async fn serve(wechat: Arc<Wechat>, listener: TcpListener) -> io::Result<()> {
    let router = Router::new()
        .merge(gateway::routes())
        .nest("/_sim", control::routes(&wechat))
        .merge(pages::routes())
        .layer(middleware::from_fn_with_state(Arc::clone(&wechat), drop_when_down))
        .with_state(Arc::clone(&wechat));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(wechat.patience);
    // The official Java SDK looks headers up as WeChat Pay spells them: `Wechatpay-Serial`.
    http.title_case_headers(true);
    let mut door = Door::new(Arc::clone(&wechat), listener)?;
    let connections = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            stream = door.next() => stream,
            () = wechat.stop.cancelled() => break,
        };
        let line = Line::default();
        let connection = Connection { stream, line: line.clone() };
        let service = router.clone().map_request(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(line.clone()));
            request
        });
        let service = TowerToHyperService::new(service);
        let served = connections.watch(http.serve_connection(TokioIo::new(connection), service));
        tokio::spawn(async move {
            if let Err(error) = served.await {
                debug!(%error, "a connection ended early");
            }
        });
    }
    drop(door);
    connections.shutdown().await;
    Ok(())
}

/// "WeChat is down": whoever calls one of its paths is hung up on, and everyone who still has a
/// connection while new ones are refused.
async fn drop_when_down(
    State(wechat): State<Arc<Wechat>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
    next: Next,
) -> Response {
    let is_down = request.uri().path().starts_with("/v3/") && wechat.faults.take_down();
    if is_down || wechat.faults.refused().is_some() {
        return line.cut();
    }
    next.run(request).await
}

/// One connection, as a handler sees it.
#[derive(Clone, Default)]
pub(crate) struct Line {
    is_cut: Arc<AtomicBool>,
}

impl Line {
    /// Resets the connection instead of answering; the response is never written.
    pub(crate) fn cut(&self) -> Response {
        self.is_cut.store(true, Ordering::SeqCst);
        Response::new(Body::empty())
    }
}

/// The listening socket, which is closed while connections are to be refused.
struct Door {
    wechat: Arc<Wechat>,
    addr: SocketAddr,
    listener: Option<TcpListener>,
    changes: watch::Receiver<()>,
}

impl Door {
    fn new(wechat: Arc<Wechat>, listener: TcpListener) -> io::Result<Self> {
        let changes = wechat.faults.changes();
        Ok(Self { addr: listener.local_addr()?, wechat, listener: Some(listener), changes })
    }

    async fn next(&mut self) -> TcpStream {
        loop {
            if let Some(ActiveFault { id, fault, .. }) = self.wechat.faults.refused() {
                self.stay_shut(id, Duration::from_millis(fault.delay_ms.unwrap_or(0))).await;
            }
            match self.accept().await {
                Ok(Some(stream)) => return stream,
                Ok(None) => {}
                Err(error) => {
                    warn!(%error, addr = %self.addr, "listening failed");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    /// The next connection, or nothing when the faults have changed.
    async fn accept(&mut self) -> io::Result<Option<TcpStream>> {
        let listener = match &mut self.listener {
            Some(listener) => listener,
            shut => shut.insert(bind(self.addr)?.listen(BACKLOG)?),
        };
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = self.changes.changed() => return Ok(None),
        };
        // Without it a small answer waits for the peer's delayed acknowledgement.
        stream.set_nodelay(true)?;
        Ok(Some(stream))
    }

    /// Listens to nobody until the fault is over.
    async fn stay_shut(&mut self, id: u64, span: Duration) {
        self.listener = None;
        // Bound without listening it refuses, and keeps the port from everyone else.
        let reserved = bind(self.addr);
        let is_over = |faults: &Faults| faults.refused().is_none_or(|fault| fault.id != id);
        let removed =
            async { while !is_over(&self.wechat.faults) && self.changes.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(span, removed).await;
        self.wechat.faults.remove(id);
        self.listener = reserved.and_then(|socket| socket.listen(BACKLOG)).ok();
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of before are still being ended on this port.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

struct Connection {
    stream: TcpStream,
    line: Line,
}

impl Connection {
    fn check(&self) -> io::Result<()> {
        if !self.line.is_cut.load(Ordering::SeqCst) {
            return Ok(());
        }
        // Closing with nothing lingering sends a reset, not a polite end.
        self.stream.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
