//! `bailiwick login`: a login for the command line, confirmed in the browser (RFC 8252 with PKCE, RFC 7636).
//!
//! The browser comes back to a port on loopback with a code, which is worth nothing without the verifier that never
//! left this process. Answers that do not carry our state are ignored: any page can make a browser send one.

use std::{io::IsTerminal as _, net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use clap::Args;
use serde::Deserialize;
use tokio::{net::TcpListener, sync::mpsc};
use url::Url;

use super::{
    CliFault, Ending,
    api::Api,
    client::{ClientFault, HeldLogin, Home, address, portal_address},
    operator::machine,
    output::{changed, say},
};
use crate::model::{Entropy, SystemEntropy};

/// As long as the portal lets a request wait.
const PATIENCE: Duration = Duration::from_secs(600);

/// Log in from this computer, confirmed in the browser.
///
/// The login is kept in a file that only you can read, and ends where every login of yours ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bailiwick login --portal https://access.example.com\n  bailiwick login\n  \
                        bailiwick login --fresh --no-browser")]
pub(super) struct Login {
    /// The portal's address; the one of the last login if it is left out
    #[arg(long, value_name = "URL")]
    portal: Option<String>,
    /// Log in again, even if a login still lives
    #[arg(long)]
    fresh: bool,
    /// Print the address to open instead of opening a browser
    #[arg(long)]
    no_browser: bool,
    /// An authority to trust for the portal, PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Login {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        self.log_in(&SystemEntropy).await?;
        Ok(Ending::Yes)
    }

    async fn log_in(self, entropy: &dyn Entropy) -> Result<(), ClientFault> {
        let home = Home::of_user()?;
        let given = self.portal.as_deref().map(portal_address).transpose()?;
        let held = home.login(given.as_ref());
        if let (Ok(login), false) = (&held, self.fresh)
            && let Ok(status) = Api::of(login)?.status().await
        {
            say(format_args!(
                "Already logged in at {} as {}, until {}.",
                login.portal, status.person, status.expires_at
            ));
            say("To log in anew: bailiwick login --fresh");
            return Ok(());
        }
        let portal = match (given, &held) {
            (Some(portal), _) => portal,
            (None, Ok(login)) => portal_address(&login.portal)?,
            (None, Err(ClientFault::LoggedOut { portal })) => portal_address(portal)?,
            (None, Err(_)) => return Err(ClientFault::NoPortal),
        };
        let ca_file = self.ca_file.or_else(|| held.ok().and_then(|login| login.ca_file));
        let api = Api::anonymous(&portal, ca_file.clone())?;
        api.reach().await?;
        let (code, verifier) = confirmed(&portal, !self.no_browser, entropy).await?;
        let token = api.exchange(&code, &verifier).await?;
        let login = HeldLogin {
            portal: address(&portal),
            token: token.token,
            person: token.person,
            expires_at: token.expires_at,
            ca_file,
        };
        home.keep_login(&login)?;
        let told = format!("Logged in as {}, until {} at the latest.", login.person, login.expires_at);
        changed(told.trim_end_matches('.'));
        say(told);
        say("Next: bailiwick status, or bailiwick kube login CLUSTER");
        Ok(())
    }
}

/// Sends the user to the portal and waits until the browser brings the code.
async fn confirmed(portal: &Url, may_open: bool, entropy: &dyn Entropy) -> Result<(String, String), ClientFault> {
    let failed = |fault: std::io::Error| ClientFault::Other(format!("no port on loopback: {fault}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let state = BASE64URL.encode(entropy.bytes::<16>());
    let verifier = BASE64URL.encode(entropy.bytes::<32>());
    let challenge = BASE64URL.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));

    let mut url = portal.join("/command-line").map_err(|_| ClientFault::BadPortal(portal.to_string()))?;
    url.query_pairs_mut()
        .append_pair("challenge", &challenge)
        .append_pair("state", &state)
        .append_pair("port", &port.to_string())
        .append_pair("host", &machine());
    let (sender, mut answers) = mpsc::channel(1);
    let waiting = Arc::new(Waiting { state, port, sender });
    let service = Router::new().route("/callback", get(callback)).with_state(waiting);
    let server = tokio::spawn(async move { axum::serve(listener, service).await });

    if may_open
        && std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && open::that_detached(url.as_str()).is_ok()
    {
        say(format_args!("Confirm in the browser that opens. If none does, open this on this machine:\n  {url}"));
    } else {
        say(format_args!("Open this on this machine, and confirm:\n  {url}"));
    }
    let answer = tokio::time::timeout(PATIENCE, answers.recv()).await;
    // The page that says so is still on its way to the browser.
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.abort();
    match answer {
        Ok(Some(Ok(code))) => Ok((code, verifier)),
        Ok(Some(Err(why))) => Err(ClientFault::Refused { portal: address(portal), why }),
        _ => Err(ClientFault::Other("nobody confirmed in time. Type: bailiwick login".to_owned())),
    }
}

struct Waiting {
    state: String,
    port: u16,
    sender: mpsc::Sender<Result<String, String>>,
}

#[derive(Deserialize)]
struct Answer {
    state: String,
    code: Option<String>,
    error: Option<String>,
}

async fn callback(State(waiting): State<Arc<Waiting>>, headers: HeaderMap, Query(answer): Query<Answer>) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let ours = host == format!("127.0.0.1:{}", waiting.port) || host == format!("localhost:{}", waiting.port);
    if !ours || answer.state != waiting.state {
        return (StatusCode::BAD_REQUEST, "This is not the answer that is waited for.").into_response();
    }
    let (outcome, words) = match (answer.code, answer.error) {
        (Some(code), _) => (Ok(code), "Done. You can close this page and go back to the command line."),
        (None, error) => (Err(error.unwrap_or_else(|| "no code".to_owned())), "Refused. Nothing was handed out."),
    };
    let _ = waiting.sender.try_send(outcome);
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Bailiwick</title><p>{words}</p></html>"
    );
    let headers = [(header::CONTENT_SECURITY_POLICY, "default-src 'none'"), (header::CACHE_CONTROL, "no-store")];
    (headers, Html(page)).into_response()
}
