//! Bytes on the wire: an upstream that writes down exactly what arrives, and a client that sends exactly what it is told.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bailiwick::model::RequestId;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};

pub use crate::support::SOON;

pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
pub type Wire = Box<dyn Duplex>;
type Script = Arc<dyn Fn(Arrived, Wire) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub head: String,
    pub body: Vec<u8>,
}

impl Arrived {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// All values of a field, by lower-case name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// Which request it is, as an app is told.
    pub fn request(&self) -> RequestId {
        self.values("bailiwick-request")[0].parse().unwrap()
    }
}

/// An upstream that records.
#[derive(Clone)]
pub struct Recorder {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Arrived>>>,
}

impl Recorder {
    /// Answers everything with 200 and `hello`.
    pub async fn start() -> Self {
        Self::scripted(|_, mut wire| async move { reply(&mut wire, OK).await }).await
    }

    /// Answers as `script` says: one request, and the connection is the script's.
    pub async fn scripted<F>(script: impl Fn(Arrived, Wire) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::serving(None, script).await
    }

    pub async fn serving<F>(
        tls: Option<tokio_rustls::TlsAcceptor>,
        script: impl Fn(Arrived, Wire) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Self { address: socket.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&recorder.seen);
        let script: Script = Arc::new(move |arrived, wire| Box::pin(script(arrived, wire)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let (seen, script, tls) = (Arc::clone(&seen), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    let mut wire: Wire = match tls {
                        Some(tls) => Box::new(tls.accept(stream).await.unwrap()),
                        None => Box::new(stream),
                    };
                    if let Some(arrived) = read_request(&mut wire).await {
                        seen.lock().unwrap().push(arrived.clone());
                        script(arrived, wire).await;
                    }
                });
            }
        });
        recorder
    }

    /// All that has arrived so far.
    pub fn seen(&self) -> Vec<Arrived> {
        self.seen.lock().unwrap().clone()
    }
}

/// An upstream that has said all when it has read a request's head, and then tells what came, when it has ended.
pub async fn answering_at_once(tls: Option<tokio_rustls::TlsAcceptor>) -> (SocketAddr, oneshot::Receiver<Arrived>) {
    let (tell, told) = oneshot::channel();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = socket.accept().await.unwrap();
        let mut wire: Wire = match tls {
            Some(tls) => Box::new(tls.accept(stream).await.unwrap()),
            None => Box::new(stream),
        };
        let came = read_until(&mut wire, "\r\n\r\n").await;
        let (head, begun) = came.split_once("\r\n\r\n").unwrap();
        let mut arrived = Arrived { head: head.to_owned(), body: begun.as_bytes().to_vec() };
        let length = arrived.values("content-length")[0].parse().unwrap();
        reply(&mut wire, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
        while arrived.body.len() < length && wire.read_buf(&mut arrived.body).await.is_ok_and(|n| n > 0) {}
        let _ = tell.send(arrived);
        std::future::pending::<()>().await;
    });
    (address, told)
}

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

pub async fn reply(wire: &mut Wire, text: &str) {
    wire.write_all(text.as_bytes()).await.unwrap();
    wire.flush().await.unwrap();
}

/// Reads one request; what is chunked is kept as it came.
pub async fn read_request(wire: &mut Wire) -> Option<Arrived> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end + 4;
        }
        if wire.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let arrived = Arrived { head, body: Vec::new() };
    let length = arrived.values("content-length").first().and_then(|length| length.parse::<usize>().ok());
    let chunked = !arrived.values("transfer-encoding").is_empty();
    let mut body = bytes.split_off(end);
    while length.is_some_and(|length| body.len() < length) || (chunked && !body.ends_with(b"0\r\n\r\n")) {
        if wire.read_buf(&mut body).await.ok()? == 0 {
            break;
        }
    }
    Some(Arrived { body, ..arrived })
}

pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// Sends `request` and reads until the other side closes.
pub async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the broker closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until `part` has come; all that came.
pub async fn read_until(wire: &mut (impl AsyncRead + Unpin), part: &str) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while find(&bytes, part.as_bytes()).is_none() {
            if wire.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                break;
            }
        }
    };
    let done = timeout(SOON, reading).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(done.is_ok() && text.contains(part), "{part:?} did not come, but {text:?}");
    text
}

/// The status of the first answer in `text`.
pub fn status(text: &str) -> u16 {
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// How many answers stand in `text`.
pub fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}
