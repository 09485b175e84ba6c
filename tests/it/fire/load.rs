//! Callers at the real door: each asks for a page of its own, one after the other, now of this broker and now of that,
//! and counts the answers. Whether one was forwarded is the app's to say, not theirs.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};

use super::site::COOKIE;

/// The callers. They go on until they are told to stop.
pub struct Load {
    counts: Arc<Counts>,
    is_over: Arc<AtomicBool>,
    rests: watch::Sender<bool>,
    callers: JoinSet<()>,
}

/// How they fared.
#[derive(Default)]
pub struct Counts {
    pub allowed: AtomicU64,
    pub unavailable: AtomicU64,
    pub other: AtomicU64,
    pub broken: AtomicU64,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [allowed, unavailable, other, broken] =
            [&self.allowed, &self.unavailable, &self.other, &self.broken].map(|count| count.load(Ordering::SeqCst));
        write!(f, "{allowed} answered 200, {unavailable} 503, {other} otherwise, {broken} cut off")
    }
}

impl Load {
    pub fn start(callers: usize, brokers: &[SocketAddr]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (counts, is_over) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let rests = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (counts, is_over, brokers) = (Arc::clone(&counts), Arc::clone(&is_over), brokers.to_vec());
            let mut rest = rests.subscribe();
            tasks.spawn(async move {
                while !is_over.load(Ordering::SeqCst) && rest.wait_for(|rests| !rests).await.is_ok() {
                    let nth = NEXT.fetch_add(1, Ordering::SeqCst);
                    let broker = brokers[nth as usize % brokers.len()];
                    let answer = get(broker, &format!("/page/{nth}")).await;
                    let count = match answer {
                        Some(200) => &counts.allowed,
                        Some(503) => &counts.unavailable,
                        Some(_) => &counts.other,
                        None => &counts.broken,
                    };
                    count.fetch_add(1, Ordering::SeqCst);
                    if answer != Some(200) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        Self { counts, is_over, rests, callers: tasks }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Nobody asks for anything new while `work` is done.
    pub fn resting<T>(&self, work: impl FnOnce() -> T) -> T {
        self.rests.send_replace(true);
        let done = work();
        self.rests.send_replace(false);
        done
    }

    /// Lets every caller finish, and says how they fared.
    pub async fn stop(self) -> Arc<Counts> {
        self.is_over.store(true, Ordering::SeqCst);
        self.callers.join_all().await;
        self.counts
    }
}

/// Asks for a page and says the status; none when there was no answer.
pub async fn get(broker: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = ask(broker, path).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    status(&answer)
}

/// A stream that is open: its first event has come.
pub async fn open_stream(broker: SocketAddr, path: &str) -> TcpStream {
    let mut stream = ask(broker, path).await.unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.windows(5).any(|window| window == b"first") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the stream did not open: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(status(&answer), Some(200));
    stream
}

/// Waits until the broker closes it.
pub async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

async fn ask(broker: SocketAddr, path: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(broker).await.ok()?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: wiki.fire.localhost\r\nCookie: __Host-bailiwick-app={COOKIE}\r\nConnection: close\r\n\r\n",
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    Some(stream)
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
}
