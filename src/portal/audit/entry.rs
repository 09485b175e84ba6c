//! One entry in full. What it tells of, why it was decided so, how it is proven, and what belongs to it: each from the
//! bytes, and only what the rules let this person read.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use sqlx::PgConnection;
use tower_sessions::Session;

use super::{
    Links,
    activity::Counted,
    evidence::might_export,
    explain::{self, Texts},
    facts::{code, facts},
    left_out, line, proven, reading,
    reading::{Reading, Shown},
};
use crate::{
    access::{Permit, Reader, Refusal},
    audit::{
        Log,
        entry::{Entry, Event},
        search::{Losses, Lost, Search, archived_before},
    },
    model::{Caller, PortalAction, RequestId},
    portal::{
        Portal, PortalFault,
        caller::{SignedIn, Visitor},
        entry_words::{display, visible},
        page::{EntryLine, EntryPage, Fact, show},
        told::told,
        words,
    },
    store::{StoreFault, entry as entries, head},
};

/// GET /audit/entries/{leaf}
pub async fn entry(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    Path(leaf): Path<String>,
) -> Result<Response, PortalFault> {
    let Opened { permit, reader, shown } = open(&portal, &caller, visit.request, (&session, &leaf), read).await?;
    let mut db = portal.pool.acquire().await.map_err(StoreFault::from)?;
    let now = portal.clock.now();
    let texts = Texts::of(&portal, &permit);
    let why = match &shown.entry {
        Some(entry) => explain::why(&mut db, entry, texts).await?,
        None => None,
    };
    let proven = proven::prove(&mut db, &portal.log, shown.index, &shown.leaf).await?;
    let kin = kin(&mut db, (&reader, &portal.log), &shown).await?;
    let (earlier, later) = reading::neighbours(&mut db, &reader, shown.index).await?;
    let links = Links::default();
    let address = |index: u64| format!("/audit/entries/{index}");
    let page = EntryPage {
        frame: portal.frame(&permit, "/audit"),
        recorded: shown.entry.as_ref().map(|entry| words::second(entry.recorded_at)).unwrap_or_default(),
        facts: all_facts(&shown),
        why,
        proof: proven.words(now),
        evidence: files(&portal, &permit, shown.index, proven.holds()),
        without_texts: texts == Texts::Withheld && might_export(&portal, &permit),
        left_out: left_out(kin.left_out, Counted::for_reader(&reader)),
        kin: kin_lines(&kin, shown.index, &links),
        ways: shown.entry.as_ref().map(ways).unwrap_or_default(),
        earlier: earlier.map(address),
        later: later.map(address),
        leaf: body(&shown),
        line: line(&shown, &links),
    };
    Ok(told(permit, show(StatusCode::OK, &page)))
}

/// GET /audit/entries/{leaf}/proof: a C2SP tlog-proof.
pub async fn proof(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    Path(leaf): Path<String>,
) -> Result<Response, PortalFault> {
    let Opened { permit, shown, .. } = open(&portal, &caller, visit.request, (&session, &leaf), read).await?;
    let mut db = portal.pool.acquire().await.map_err(StoreFault::from)?;
    let proven = proven::prove(&mut db, &portal.log, shown.index, &shown.leaf).await?;
    if proven.is_contradicted() {
        permit.spend().2.answered(500);
        return Err(PortalFault::Altered(proven.contradiction()));
    }
    let Some(file) = proven.file() else {
        permit.spend().2.answered(404);
        return Err(PortalFault::NotFound);
    };
    let name = format!("attachment; filename=\"entry-{}.tlog-proof\"", shown.index);
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok(told(permit, (headers, file).into_response()))
}

/// An entry that may be shown, and the leave to show it.
pub struct Opened {
    /// For what was asked.
    pub permit: Permit,
    /// Who asked.
    pub reader: Reader,
    /// The entry.
    pub shown: Shown,
}

fn read(index: u64) -> PortalAction {
    PortalAction::ReadAudit { search: Some(format!("entry={index}")) }
}

/// Asks at the gate for `action` on the entry at `leaf`, and reads it if the rules let this person.
pub async fn open(
    portal: &Portal,
    caller: &Caller,
    request: RequestId,
    (session, leaf): (&Session, &str),
    action: impl FnOnce(u64) -> PortalAction,
) -> Result<Opened, PortalFault> {
    // One spelling for each, so that the log says plainly which was read.
    let index = leaf.parse::<u64>().ok().filter(|index| index.to_string() == leaf).ok_or(PortalFault::NotFound)?;
    let address = format!("/audit/entries/{index}");
    let permit = portal.ask_on_the_way(caller, request, action(index), (session, &address)).await?;
    let reader = portal.gate.reader(&permit);
    let mut db = portal.pool.acquire().await.map_err(StoreFault::from)?;
    let found = entries::following(&mut *db, index, 1).await?.into_iter().find(|(found, _)| *found == index);
    let Some((_, leaf)) = found else {
        let (status, fault) = gone(&mut db, index).await?;
        if matches!(fault, PortalFault::Missing(_)) {
            portal.log.came_upon(&Losses { missing: Lost::one(index), ..Losses::default() });
        }
        permit.spend().2.answered(status);
        return Err(fault);
    };
    match reading::one(&portal.gate, (&permit, &reader), (index, &leaf)).await {
        Ok(entry) => Ok(Opened { permit, reader, shown: Shown { index, leaf, entry } }),
        Err(Refusal::Unavailable { why, .. }) => {
            permit.spend().2.answered(503);
            Err(PortalFault::Unavailable(why.to_owned()))
        }
        // Which rule says no would tell of the entry.
        Err(Refusal::Denied { .. } | Refusal::StepUp { .. }) => {
            permit.spend().2.answered(403);
            Err(PortalFault::Hidden)
        }
    }
}

/// Why there is no entry at `index`: the log is shorter, or says that it was archived; or somebody has removed it.
async fn gone(db: &mut PgConnection, index: u64) -> Result<(u16, PortalFault), StoreFault> {
    Ok(if index >= head::newest(&mut *db).await?.size {
        (404, PortalFault::NotFound)
    } else if index < archived_before(db).await? {
        (410, PortalFault::Archived)
    } else {
        (500, PortalFault::Missing(index))
    })
}

/// What belongs to the same request, or to the same stream, newest first.
pub async fn kin(db: &mut PgConnection, readers: (&Reader, &Log), shown: &Shown) -> Result<Reading, StoreFault> {
    let request = shown.entry.as_ref().and_then(|entry| entry.request);
    let Some(request) = request else { return Ok(Reading::default()) };
    let search = Search { request: Some(request), ..Search::default() };
    reading::newest(db, readers, &search, None, MOST_KIN).await
}

/// Oldest first, as they happened; none when this is the only one.
fn kin_lines(kin: &Reading, index: u64, links: &Links) -> Vec<EntryLine> {
    let is_alone = kin.entries.iter().all(|shown| shown.index == index);
    let mark = |shown: &Shown| EntryLine { current: shown.index == index, ..line(shown, links) };
    if is_alone { Vec::new() } else { kin.entries.iter().rev().map(mark).collect() }
}

fn all_facts(shown: &Shown) -> Vec<Fact> {
    let leaf = [code("Leaf", shown.index.to_string())];
    leaf.into_iter().chain(shown.entry.iter().flat_map(facts)).collect()
}

/// Ways on from an entry: its person, its login, its request.
fn ways(entry: &Entry) -> Vec<(&'static str, String)> {
    let links = Links::default();
    let mut ways = Vec::new();
    if let Some(caller) = &entry.caller {
        ways.push(("Everything of this person", links.with("who", &display(&caller.identity))));
        ways.push(("Everything of this login", links.with("login", &caller.login.to_string())));
    }
    if let Event::Exported { format, manifest, .. } = &entry.event
        && format != "bundle"
    {
        ways.push(("The manifest, if the export was yours", format!("/audit/manifests/{manifest}")));
    }
    if let Event::LoginEnded { login, .. } = &entry.event {
        ways.push(("Everything of the login that ended", links.with("login", &login.to_string())));
    }
    ways.extend(entry.request.map(|request| ("This request in the log", links.with("request", &request.to_string()))));
    ways
}

/// Files that prove the entry: the whole of it for those who may export, and the hashes alone, which reveal nothing.
fn files(portal: &Portal, permit: &Permit, index: u64, is_proven: bool) -> Vec<(&'static str, String)> {
    let whole = ("Evidence bundle", format!("/audit/entries/{index}/evidence"));
    let hashes = ("Inclusion proof", format!("/audit/entries/{index}/proof"));
    let files = might_export(portal, permit).then_some(whole).into_iter().chain([hashes]);
    files.filter(|_| is_proven).collect()
}

/// The canonical JSON after the version byte; for bytes that are no entry, all of them in hex.
fn body(shown: &Shown) -> String {
    match &shown.entry {
        Some(_) => visible(&String::from_utf8_lossy(shown.leaf.get(1..).unwrap_or_default())),
        None => hex::encode(&shown.leaf),
    }
}

/// More than any request but a stream's has.
const MOST_KIN: usize = 50;
