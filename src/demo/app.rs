//! The protected web app of the demonstration: a tiny wiki that shows what the broker told it about the caller.
//!
//! It believes the identity headers, as apps behind a broker do. That is safe only where nobody else can connect to it;
//! here it listens on loopback, so that a program on this machine can lie to it. `serve` knows nothing of it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task,
    time::Duration,
};

use axum::{
    Form, Router,
    body::{Body, HttpBody},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{delete, get},
};
use bytes::Bytes;
use hyper::body::Frame;
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    time::{Interval, interval},
};

use super::{
    DemoFault,
    page::{LIVE, Note, Told, WikiPage, style},
};

/// How often the event stream says something.
const BEAT: Duration = Duration::from_secs(1);
const KEPT_NOTES: usize = 50;

#[derive(Clone, Default)]
struct Wiki(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    last: u64,
    notes: Vec<Note>,
}

/// Serves the wiki until dropped.
pub(super) async fn serve(listener: TcpListener) -> Result<(), DemoFault> {
    axum::serve(listener, router()).await.map_err(DemoFault::Network)
}

fn router() -> Router {
    let script = || async { ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], LIVE) };
    Router::new()
        .route("/", get(welcome))
        .route("/docs/handbook", get(handbook))
        .route("/notes", get(notes).post(add_note))
        .route("/notes/{number}", delete(remove_note))
        .route("/admin", get(admin))
        .route("/live", get(live))
        .route("/events", get(events))
        .route("/style.css", get(style))
        .route("/live.js", get(script))
        .with_state(Wiki::default())
}

async fn welcome(headers: HeaderMap) -> Response {
    let caller = told(&headers);
    let texts = [
        "This app has no sign-in page. It is told who you are, by the broker in front of it.",
        if caller.user.is_empty() {
            "You came around the broker, so it was told nothing. For real, make sure that nobody can connect to it."
        } else {
            "Your request was allowed by a rule, and written to the log before it got here."
        },
    ];
    WikiPage { title: "Welcome", texts: &texts, caller, ..WikiPage::default() }.answer()
}

async fn handbook(headers: HeaderMap) -> Response {
    let texts = [
        "The rules are in the demonstration's policy folder. Change one, and a second later requests are judged by it.",
        "Look at Admin as Alice, then as Olivia.",
    ];
    WikiPage { title: "Handbook", texts: &texts, caller: told(&headers), ..WikiPage::default() }.answer()
}

async fn notes(State(wiki): State<Wiki>, headers: HeaderMap) -> Response {
    let notes = wiki.0.lock().unwrap_or_else(PoisonError::into_inner).notes.clone();
    WikiPage { title: "Notes", notes: Some(notes), caller: told(&headers), ..WikiPage::default() }.answer()
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

async fn add_note(State(wiki): State<Wiki>, headers: HeaderMap, Form(new): Form<NewNote>) -> Redirect {
    let mut shelf = wiki.0.lock().unwrap_or_else(PoisonError::into_inner);
    shelf.last += 1;
    let note = Note { number: shelf.last, by: told(&headers).name, text: new.text.chars().take(200).collect() };
    shelf.notes.insert(0, note);
    shelf.notes.truncate(KEPT_NOTES);
    Redirect::to("/notes")
}

async fn remove_note(State(wiki): State<Wiki>, Path(number): Path<u64>) -> StatusCode {
    let mut shelf = wiki.0.lock().unwrap_or_else(PoisonError::into_inner);
    let before = shelf.notes.len();
    shelf.notes.retain(|note| note.number != number);
    if shelf.notes.len() < before { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn admin(headers: HeaderMap) -> Response {
    let texts = ["Only administrators get here. There is nothing to break."];
    WikiPage { title: "Administration", texts: &texts, caller: told(&headers), ..WikiPage::default() }.answer()
}

async fn live(headers: HeaderMap) -> Response {
    let texts = ["This stream stays open until your session ends, on whichever broker it is."];
    WikiPage { title: "Live", texts: &texts, live: true, caller: told(&headers), ..WikiPage::default() }.answer()
}

/// Server-sent events, one a beat, for as long as somebody listens.
async fn events() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (kind, Body::new(Beats { count: 0, beat: interval(BEAT) })).into_response()
}

struct Beats {
    count: u64,
    beat: Interval,
}

impl HttpBody for Beats {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        task::ready!(self.beat.poll_tick(context));
        self.count += 1;
        task::Poll::Ready(Some(Ok(Frame::data(Bytes::from(format!("data: beat {}\n\n", self.count))))))
    }
}

fn told(headers: &HeaderMap) -> Told {
    let all = |name: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        values.collect::<Vec<_>>().join(", ")
    };
    Told {
        user: all("bailiwick-user"),
        name: all("bailiwick-name"),
        groups: all("bailiwick-groups"),
        request: all("bailiwick-request"),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(wiki: &Router, method: &str, path: &str, body: &'static str) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("bailiwick-user", "demo/alice")
            .header("bailiwick-groups", "devs")
            .header("bailiwick-groups", "writers")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap();
        let response = wiki.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_wiki_shows_what_it_was_told_and_keeps_notes() {
        let wiki = router();
        let (status, page) = ask(&wiki, "GET", "/", "").await;
        assert!(status.is_success() && page.contains("demo/alice") && page.contains("devs, writers"));
        assert_eq!(ask(&wiki, "POST", "/notes", "text=%3Chello%3E").await.0, StatusCode::SEE_OTHER);
        assert!(ask(&wiki, "GET", "/notes", "").await.1.contains("&#60;hello&#62;"));
        assert_eq!(ask(&wiki, "DELETE", "/notes/1", "").await.0, StatusCode::NO_CONTENT);
        assert_eq!(ask(&wiki, "DELETE", "/notes/1", "").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_stream_begins_at_once() {
        let response = events().await;
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "data: beat 1\n\n");
    }
}
