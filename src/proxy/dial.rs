//! One way to one upstream: where to connect, and how TLS is spoken there. Ignores whatever a request's URI says, so that
//! no request can choose where it goes.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::listener::keep_alive;

/// For a connection to an upstream, TLS included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to one upstream.
#[derive(Clone)]
pub struct Dial {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Dial {
    /// Plain TCP.
    pub fn plain(host: &str, port: u16) -> Self {
        Self { host: bare(host), port, tls: None }
    }

    /// TLS, for the name that the upstream's certificate must carry.
    pub fn tls(host: &str, port: u16, config: ClientConfig, name: ServerName<'static>) -> Self {
        Self { host: bare(host), port, tls: Some((Arc::new(config), name)) }
    }

    /// The same, offering only HTTP/1.1: what is to become a stream cannot share a connection.
    pub fn for_upgrades(&self) -> Self {
        let mut only_one = self.clone();
        if let Some((config, _)) = &mut only_one.tls {
            Arc::make_mut(config).alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        only_one
    }

    /// A connection, within [`PATIENCE`].
    pub async fn connect(&self) -> io::Result<Wire> {
        timeout(PATIENCE, self.connect_patiently()).await?
    }

    async fn connect_patiently(&self) -> io::Result<Wire> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&keep_alive())?;
        let Some((config, name)) = &self.tls else {
            return Ok(Wire { io: TokioIo::new(Box::new(stream)), speaks_two: false });
        };
        let stream = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await?;
        let speaks_two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Wire { io: TokioIo::new(Box::new(stream)), speaks_two })
    }
}

/// An IPv6 address stands in brackets in a URL and without them everywhere else.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

impl tower::Service<Uri> for Dial {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move { dial.connect().await })
    }
}

/// A connection to an upstream.
pub struct Wire {
    io: TokioIo<Box<dyn Duplex>>,
    speaks_two: bool,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        if self.speaks_two { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
