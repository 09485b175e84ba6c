//! A way to Postgres that breaks on purpose, at one exact moment: the answer to one message is lost, or the message
//! itself. Nothing is left to chance, so a test that passes has met the case that it names.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::TestDb;

/// What goes wrong, once.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The message that contains this text arrives and is acted on, and its answer is lost with the connection.
    LostAnswer(&'static str),
    /// The message that contains this text is lost with the connection.
    LostMessage(&'static str),
}

/// A socket in front of the server's.
pub struct Chaos {
    next: Arc<Mutex<Option<Fault>>>,
    way: Way,
    folder: tempfile::TempDir,
    _listening: tokio::task::JoinHandle<()>,
}

/// What the way does once the fault has struck.
#[derive(Clone, Default)]
struct Way {
    is_to_close: Arc<AtomicBool>,
    is_closed: Arc<AtomicBool>,
}

impl Chaos {
    /// Stands in front of the server.
    pub fn before(db: &TestDb) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let next: Arc<Mutex<Option<Fault>>> = Arc::default();
        let (server, faults) = (db.socket().join(SOCKET), Arc::clone(&next));
        let way = Way::default();
        let passing = way.clone();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), Arc::clone(&faults), passing.clone()));
            }
        });
        Self { next, way, folder, _listening: listening }
    }

    /// A pool of the broker's that goes through here.
    pub fn pool(&self, db: &TestDb) -> PgPool {
        let options: sqlx::postgres::PgConnectOptions = db.broker_url.parse().unwrap();
        sqlx::postgres::PgPoolOptions::new().connect_lazy_with(options.socket(self.folder.path()))
    }

    /// Arms one fault.
    pub fn arm(&self, fault: Fault) {
        *self.next.lock().unwrap() = Some(fault);
    }

    /// Arms one fault, after which the way stays closed.
    pub fn arm_for_good(&self, fault: Fault) {
        self.way.is_to_close.store(true, SeqCst);
        self.arm(fault);
    }

    /// Opens the way again.
    pub fn mend(&self) {
        self.way.is_to_close.store(false, SeqCst);
        self.way.is_closed.store(false, SeqCst);
    }

    /// Whether the fault has happened.
    pub fn has_struck(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }
}

async fn pass(client: UnixStream, server: PathBuf, next: Arc<Mutex<Option<Fault>>>, way: Way) {
    if way.is_closed.load(SeqCst) {
        return;
    }
    let Ok(server) = UnixStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_deaf = Arc::new(AtomicBool::new(false));
    let deaf = Arc::clone(&is_deaf);
    let answers = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            // An answer that is lost takes the connection with it; that it came at all means that it was acted on.
            if deaf.load(SeqCst) || to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let messages = async move {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if way.is_closed.load(SeqCst) {
                return;
            }
            let message = &buffer[..read];
            let holds = |text: &str| message.windows(text.len()).any(|window| window == text.as_bytes());
            let fault = {
                let mut next = next.lock().unwrap();
                let is_due = matches!(&*next, Some(Fault::LostAnswer(text) | Fault::LostMessage(text)) if holds(text));
                if is_due {
                    way.is_closed.store(way.is_to_close.load(SeqCst), SeqCst);
                    next.take()
                } else {
                    None
                }
            };
            match fault {
                Some(Fault::LostMessage(_)) => return,
                Some(Fault::LostAnswer(_)) => is_deaf.store(true, SeqCst),
                None => {}
            }
            if to_server.write_all(message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        () = messages => {}
    }
}

const SOCKET: &str = ".s.PGSQL.5432";
