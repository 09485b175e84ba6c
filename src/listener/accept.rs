//! The accept loops: as many connections as the limit allows, each a task of its own, all drained at the end.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    HostTable, ListenerFault, Options, ServerNames, Turning,
    connection::{Port, Shared, serve},
};

/// Sockets that listen, and what they serve.
pub struct Listener {
    sockets: Vec<(TcpListener, Port)>,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    stopped: CancellationToken,
}

impl Listener {
    /// Takes the ports. `names` are needed for TLS ports; swapping them changes certificates for new connections.
    /// `turning` hears of everything that is turned away before it reaches a service.
    pub async fn bind(
        options: &Options,
        names: Option<Arc<ArcSwap<ServerNames>>>,
        table: HostTable,
        turning: Turning,
    ) -> Result<Self, ListenerFault> {
        let mut sockets = Vec::new();
        if let Some(at) = options.http {
            if !at.ip().is_loopback() {
                return Err(ListenerFault::NotLoopback(at));
            }
            sockets.push((bind(at).await?, Port::Plain));
        }
        for &at in &options.https {
            sockets.push((bind(at).await?, Port::Tls));
        }
        let stopping = CancellationToken::new();
        let (limits, trust) = (options.limits, options.trust.clone());
        let shared = Shared { limits, trust, table, names, turning, stopping: stopping.clone() };
        let room = Arc::new(Semaphore::new(options.limits.connections));
        Ok(Self { sockets, shared: Arc::new(shared), room, stopped: stopping })
    }

    /// Where it listens: plain HTTP first, if any, then the TLS ports in the order given. Useful when a port was 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|(socket, _)| socket.local_addr().ok()).collect()
    }

    /// Serves until `stop`; then lets open requests finish within the drain limit, and drops the rest.
    pub async fn serve(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let loops = TaskTracker::new();
        for (socket, port) in self.sockets {
            let (shared, room) = (Arc::clone(&self.shared), Arc::clone(&self.room));
            let (connections, stop, cut) = (connections.clone(), stop.clone(), cut.clone());
            loops.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = accept(socket, port, shared, room, &connections, &cut) => {}
                }
            });
        }
        loops.close();
        loops.wait().await;
        self.stopped.cancel();
        connections.close();
        if timeout(self.shared.limits.drain, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "dropping connections that did not finish in time");
            cut.cancel();
            connections.wait().await;
        }
    }
}

async fn bind(at: SocketAddr) -> Result<TcpListener, ListenerFault> {
    TcpListener::bind(at).await.map_err(|source| ListenerFault::Bind { at, source })
}

async fn accept(
    socket: TcpListener,
    port: Port,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    connections: &TaskTracker,
    cut: &CancellationToken,
) {
    loop {
        // Waiting here leaves newcomers in the kernel's queue until someone goes.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, remote)) => {
                let (shared, cut) = (Arc::clone(&shared), cut.clone());
                connections.spawn(async move {
                    let _place = place;
                    tokio::select! {
                        () = serve(shared, stream, remote, port) => {}
                        () = cut.cancelled() => {}
                    }
                });
            }
            Err(fault) if is_of_one_connection(fault.kind()) => {}
            Err(fault) => {
                // Out of file descriptors, most likely: they come back when connections end.
                tracing::warn!(%fault, "cannot accept connections");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_of_one_connection(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}
