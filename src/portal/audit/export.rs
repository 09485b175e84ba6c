//! Entries to take away: what a search finds and the reader may read, streamed as CSV or NDJSON in short transactions.
//! Asked for at the gate, recorded when it is complete, together with its manifest of hashes. Whoever loses the right to
//! it meanwhile, by a rule or with their login, loses the rest; so does everybody when the log takes no entries. A header
//! says where the manifest will be.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::header;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;
use tower_sessions::Session;
use url::form_urlencoded;

use super::{asked::Asked, manifest, saved::LONGEST_SEARCH};
use crate::{
    access::{Reader, Standing},
    audit::{
        Draft, Entry, Event,
        export::{Export, Format},
        search::Search,
    },
    model::{PortalAction, RequestId},
    portal::{
        Portal, PortalFault,
        caller::{SignedIn, Visitor},
        told::told,
    },
    store::{StoreFault, export_manifest, login},
};

/// GET /audit/export
pub async fn export(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, PortalFault> {
    let (format, search) = wish(query.as_deref())?;
    let action = PortalAction::ExportAudit { search: search.to_query(), format: format.as_str().to_owned() };
    let permit = portal.ask_on_the_way(&caller, visit.request, action, (&session, "/audit")).await?;
    let errand = Errand {
        reader: portal.gate.reader(&permit),
        standing: permit.standing(),
        request: visit.request,
        portal: portal.clone(),
    };
    let mut db = portal.pool.acquire().await.map_err(StoreFault::from)?;
    let export = Export::begin(&mut db, search.clone(), format).await?;
    drop(db);
    let name = format!("audit-{}.{}", visit.request, format.as_str());
    let headers = [
        (header::CONTENT_TYPE, format.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::LINK, manifest::link(visit.request)),
    ];
    let (parts, taken) = mpsc::channel(AHEAD);
    portal.errands.spawn(errand.run(export, (search, format), name, parts));
    let body = Streamed { parts: taken, cut: cut(format), end: End::None };
    Ok(told(permit, (headers, Body::new(body)).into_response()))
}

/// The format and the search of an address.
fn wish(query: Option<&str>) -> Result<(Format, Search), PortalFault> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
    let (formats, rest): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| name == "format");
    let format = match formats.as_slice() {
        [(_, format)] => [Format::Csv, Format::Ndjson].into_iter().find(|known| known.as_str() == format),
        _ => None,
    };
    let format = format.ok_or(PortalFault::BadRequest("Entries are exported as csv or as ndjson.".into()))?;
    let rest = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
    let asked = Asked::read(Some(&rest));
    let fits = |search: &Search| search.to_query().len() <= LONGEST_SEARCH;
    let search = asked.search.ok().filter(|_| asked.before.is_none()).filter(fits);
    Ok((format, search.ok_or(PortalFault::BadRequest("This is no search that could be exported.".into()))?))
}

/// An export on its way.
struct Errand {
    portal: Portal,
    reader: Reader,
    standing: Arc<Standing>,
    request: RequestId,
}

/// What an errand hands over.
enum Part {
    Bytes(Bytes),
    /// That was all of it, and it is recorded.
    End,
}

/// The export ended before it was complete.
#[derive(Debug, thiserror::Error)]
#[error("the export could not be completed")]
struct Broken;

impl Errand {
    /// Sends page by page. What is cut off before its end is not recorded as an export: its outcome says who ended it.
    async fn run(self, mut export: Export, wish: (Search, Format), name: String, parts: mpsc::Sender<Part>) {
        loop {
            let page = match self.page(&mut export).await {
                Ok(Some(page)) if page.is_empty() => continue,
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(fault) => return self.broken(&fault),
            };
            if parts.send(Part::Bytes(page.into())).await.is_err() {
                return;
            }
        }
        // What nobody took was not exported: all of it is gone before that is said.
        if parts.reserve_many(AHEAD).await.is_err() {
            return;
        }
        match self.record(export, wish, &name).await {
            // Nobody waits for this any more when it cannot be sent.
            Ok(()) => drop(parts.send(Part::End).await),
            Err(fault) => self.broken(&fault),
        }
    }

    async fn page(&self, export: &mut Export) -> Result<Option<Vec<u8>>, PortalFault> {
        if !self.portal.gate.still_allows(&self.standing) {
            return Err(PortalFault::Hidden);
        }
        // As for every stream: what could not be recorded now goes no further.
        if !self.portal.log.alive() {
            return Err(PortalFault::Unavailable("the audit log does not take entries".to_owned()));
        }
        let mut db = self.portal.pool.acquire().await.map_err(StoreFault::from)?;
        let now = self.portal.clock.now();
        let active_after = now.minus(self.portal.settings.login.idle);
        if login::live_among(&mut *db, &[self.standing.caller.login], active_after, now).await?.is_empty() {
            return Err(PortalFault::NobodyHere);
        }
        let readable = |entry: Option<&Entry>| match entry {
            Some(entry) => self.reader.may_read(entry),
            None => self.reader.may_read_unreadable(),
        };
        Ok(export.next(&mut db, readable).await?)
    }

    async fn record(&self, export: Export, (search, format): (Search, Format), name: &str) -> Result<(), PortalFault> {
        let mut db = self.portal.pool.acquire().await.map_err(StoreFault::from)?;
        self.portal.log.came_upon(export.losses());
        let mut manifest = export.manifest(&mut db, name).await?;
        if !self.reader.may_see_totals() {
            (manifest.archived, manifest.missing, manifest.damaged) = (None, None, None);
        }
        let body = String::from_utf8_lossy(&manifest.to_bytes()).into_owned();
        let now = self.portal.clock.now();
        export_manifest::keep(&mut *db, &body, self.standing.caller.person, now).await?;
        drop(db);
        let event = Event::Exported {
            search: search.to_query(),
            format: format.as_str().to_owned(),
            entries: manifest.entries,
            manifest: manifest.sha256(),
        };
        let caller = Some(self.standing.caller.clone());
        let draft = Draft { caller, event, happened_at: now, request: Some(self.request) };
        let recorded = self.portal.log.append(draft).await;
        recorded.map(drop).map_err(|fault| PortalFault::Unavailable(fault.to_string()))
    }

    fn broken(&self, fault: &PortalFault) {
        tracing::warn!(request = %self.request, ?fault, "an export was cut off");
    }
}

/// Pages as they come. INVARIANT: whatever ends before its errand says so ends with a line that tells, and then breaks the
/// connection off: a file that was cut is never taken for a whole one.
struct Streamed {
    parts: mpsc::Receiver<Part>,
    cut: &'static str,
    end: End,
}

/// How far an ending is.
enum End {
    None,
    /// The line that tells is on its way: nothing breaks off before what came so far has left.
    Told,
    Breaking,
    Over,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let (end, answer) = match self.end {
            End::None => match ready!(self.parts.poll_recv(cx)) {
                Some(Part::Bytes(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Part::End) => (End::Over, Poll::Ready(None)),
                None => {
                    tracing::warn!("an export ended before it was complete, and its last line says so");
                    (End::Told, Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.cut.as_bytes()))))))
                }
            },
            End::Told => {
                cx.waker().wake_by_ref();
                (End::Breaking, Poll::Pending)
            }
            End::Breaking => (End::Over, Poll::Ready(Some(Err(Broken)))),
            End::Over => (End::Over, Poll::Ready(None)),
        };
        self.end = end;
        answer
    }
}

/// The last line of a file that was cut off.
const fn cut(format: Format) -> &'static str {
    match format {
        Format::Csv => "\"incomplete: this export was cut off here\"\r\n",
        Format::Ndjson => "{\"incomplete\":\"this export was cut off here\"}\n",
    }
}

/// Pages that are read before they are taken.
const AHEAD: usize = 2;
