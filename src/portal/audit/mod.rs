//! The audit log for those who review it: a timeline with filters in its address, one entry in full with its proof, saved
//! searches and exports. Promises that every reading is asked for at the gate, with what was looked for in its entry,
//! and that each entry is shown only if the rules let this person read it. Finding is the audit room's.

mod activity;
mod asked;
mod entry;
mod evidence;
mod explain;
mod export;
mod facts;
mod manifest;
mod proven;
mod reading;
mod saved;

use std::{collections::HashMap, time::Duration};

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use sqlx::PgConnection;
use tower_sessions::Session;

pub use asked::Links;
pub use entry::{entry, proof};
pub use evidence::evidence;
pub use explain::lines;
pub use export::export;
pub use manifest::manifest;
pub use saved::{remove, save};

use self::{
    activity::{BARS, Counted},
    asked::Asked,
    evidence::might_export,
    reading::{Reading, Shown},
};
use super::{
    Portal, PortalFault,
    caller::{SignedIn, Visitor},
    entry_words,
    page::{AuditPage, CheckpointWords, Choice, DayWords, EntryLine, NothingWords, SavedWords, show},
    told::told,
    words,
};
use crate::{
    access::{Door, Reader},
    audit::{
        Event, Log,
        search::{self, Activity, Search},
    },
    model::{PersonId, PortalAction, RequestId, Timestamp},
    store::{StoreFault, checkpoint},
};

/// GET /audit
pub async fn page(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, PortalFault> {
    let here = "/audit";
    let asked = Asked::read(query.as_deref());
    if let Some(shorter) = asked.shorter() {
        return Ok(Redirect::to(&shorter).into_response());
    }
    let action = PortalAction::ReadAudit { search: asked.recorded() };
    let address = asked.links().before(asked.before);
    let permit = portal.ask_on_the_way(&caller, visit.request, action, (&session, &address)).await?;
    let reader = portal.gate.reader(&permit);
    let mut db = portal.pool.acquire().await.map_err(StoreFault::from)?;
    let view = View::of(&mut db, (&reader, &portal.log), &asked).await?;
    let now = portal.clock.now();
    let links = asked.links();
    let sealed = checkpoint::newest(&mut *db).await?;
    let requests = requests(&mut db, (&reader, &portal.log), &view.reading.entries).await?;
    let may_export = asked.search.is_ok() && might_export(&portal, &permit);
    let page = AuditPage {
        frame: portal.frame(&permit, here),
        checkpoint: sealed.map(|sealed| CheckpointWords {
            size: words::entries(sealed.size),
            age: words::ago(now, sealed.signed_at),
        }),
        count: view.activity.as_ref().filter(|_| view.counted == Counted::All).map(activity::count),
        chart: view.activity.as_ref().and_then(|activity| activity::chart(activity, view.counted, &links)),
        spans: spans(&asked, &links, now),
        places: places(&portal, &reader, &asked, view.counted),
        nothing: nothing(&view.reading, &asked, view.counted),
        left_out: left_out(view.reading.left_out, view.counted),
        losses: view.reading.losses.sentences(),
        behind: behind(&view.reading, view.counted),
        newest: asked.before.map(|_| links.before(None)),
        older: view.reading.next.map(|next| links.before(Some(next))),
        saved: saved::words(&mut db, caller.person, &links).await?,
        to_save: asked.search.as_ref().ok().filter(|_| asked.is_filtered()).map(Search::to_query),
        manifests: if may_export { manifest::newest(&mut db, caller.person, now).await? } else { Vec::new() },
        exports: if may_export { exports(&links) } else { Vec::new() },
        filter: asked.form(),
        days: days(&view.reading.entries, &requests, &links),
    };
    let status = if asked.search.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(told(permit, show(status, &page)))
}

/// What there is to see.
struct View {
    reading: Reading,
    activity: Option<Activity>,
    counted: Counted,
}

impl View {
    async fn of(db: &mut PgConnection, (reader, log): (&Reader, &Log), asked: &Asked) -> Result<Self, PortalFault> {
        // Counts speak of entries that were never shown, so only those see them who may.
        let counted = Counted::for_reader(reader);
        let Ok(search) = &asked.search else {
            return Ok(Self { reading: Reading::default(), activity: None, counted });
        };
        let reading = reading::newest(&mut *db, (reader, log), search, asked.before, PAGE).await?;
        let activity = match counted {
            Counted::All => search::activity(db, search, BARS).await?,
            Counted::Shown => {
                let shown: Vec<_> = reading.entries.iter().filter_map(|shown| shown.entry.as_ref()).collect();
                activity::of_entries(&shown)
            }
        };
        Ok(Self { reading, activity: Some(activity), counted })
    }
}

/// What the requests were of which these entries tell more, from their decisions: those that this person may read. Where
/// a broker died, that is known later than it was decided, so a few decisions are looked for further back.
async fn requests(
    db: &mut PgConnection,
    readers: (&Reader, &Log),
    entries: &[Shown],
) -> Result<HashMap<RequestId, String>, StoreFault> {
    let of = |shown: &Shown| entry_words::request_of(shown.entry.as_ref()?);
    let mut asked: HashMap<RequestId, String> = entries.iter().filter_map(of).collect();
    let unknown = entries.iter().filter_map(|shown| shown.entry.as_ref());
    let unknown = unknown.filter(|entry| matches!(entry.event, Event::UnknownOutcome { .. }));
    let elsewhere = unknown.filter_map(|entry| entry.request).filter(|request| !asked.contains_key(request));
    for request in elsewhere.take(MOST_ELSEWHERE).collect::<Vec<_>>() {
        let search = Search { request: Some(request), ..Search::default() };
        let found = reading::newest(&mut *db, readers, &search, None, AMONG).await?;
        asked.extend(found.entries.iter().filter_map(of));
    }
    Ok(asked)
}

/// How many decisions are looked for further back for one page, and among how many entries of their request.
const MOST_ELSEWHERE: usize = 10;
const AMONG: usize = 10;

/// The entries as lines, by day.
fn days(entries: &[Shown], asked: &HashMap<RequestId, String>, links: &Links) -> Vec<DayWords> {
    let mut days: Vec<DayWords> = Vec::new();
    for shown in entries {
        let day = shown
            .entry
            .as_ref()
            .map_or("Unknown day".to_owned(), |entry| format!("{}, UTC", words::weekday(entry.recorded_at)));
        let mut line = line(shown, links);
        let of = shown.entry.as_ref().filter(|entry| !matches!(entry.event, Event::Decision { .. }));
        line.of = of.and_then(|entry| asked.get(&entry.request?).cloned());
        match days.last_mut().filter(|last| last.day == day) {
            Some(last) => last.entries.push(line),
            None => days.push(DayWords { day, entries: vec![line] }),
        }
    }
    days
}

fn line(shown: &Shown, links: &Links) -> EntryLine {
    entry_words::line(shown.index, shown.entry.as_ref(), links)
}

/// The last hour, day and week, and all of it.
fn spans(asked: &Asked, links: &Links, now: Timestamp) -> Vec<Choice> {
    let (from, until) = asked.search.as_ref().map_or((None, None), |search| (search.from, search.until));
    let is_near = |length: Duration| {
        let since = from.map(|from| now.since(from)).filter(|_| until.is_none());
        since.is_some_and(|since| since.abs_diff(length) <= length / 20)
    };
    let start = |length| Some(Timestamp::from_micros(now.minus(length).micros() / SECOND * SECOND));
    let span = |(label, hours): (&'static str, u64)| {
        let length = Duration::from_secs(hours * 3_600);
        Choice { label, href: links.within(start(length), None), current: is_near(length) }
    };
    let all = Choice { label: "All", href: links.within(None, None), current: from.is_none() && until.is_none() };
    [("Hour", 1), ("Day", 24), ("Week", 168)].map(span).into_iter().chain([all]).collect()
}

/// For those whom rules show a part of the log: the apps and clusters that they may read about, each as a filter.
fn places(portal: &Portal, reader: &Reader, asked: &Asked, counted: Counted) -> Vec<SavedWords> {
    let has_place = asked.search.as_ref().is_ok_and(|search| search.place.is_some());
    if counted == Counted::All || has_place {
        return Vec::new();
    }
    let apps = portal.settings.app.iter().map(|app| (Door::App(&app.name), app.name.as_str()));
    let clusters = portal.settings.cluster.iter().map(|cluster| (Door::Cluster(&cluster.name), cluster.name.as_str()));
    let open = apps.chain(clusters).filter(|(door, _)| reader.may_read_about(*door));
    let links = asked.links();
    let words = |name: &str| SavedWords { name: name.to_owned(), href: links.with("where", name), current: false };
    open.map(|(_, name)| words(name)).collect()
}

/// What stands where no entry does.
fn nothing(reading: &Reading, asked: &Asked, counted: Counted) -> Option<NothingWords> {
    let all = Some(("Show all of the log", "/audit".to_owned()));
    let words = |title, hint: &str, link| Some(NothingWords { title, hint: hint.to_owned(), link });
    if asked.search.is_err() {
        return words("Nothing was looked for", "Mend what is marked above; what you typed is still there.", None);
    }
    match (&reading.hint, reading.next) {
        _ if !reading.entries.is_empty() => None,
        (hint, Some(next)) => {
            let hint = hint.as_deref().unwrap_or("There is more to look through.");
            words("None found yet", hint, Some(("Go on looking", asked.links().before(Some(next)))))
        }
        // Whether there is something that they may not read is not for these readers to learn from what they ask.
        _ if counted == Counted::Shown => {
            words("Nothing here that you may read", "There may be entries that you may not.", None)
        }
        _ if reading.left_out > 0 => words("Nothing here that you may read", "What there is was left out.", None),
        _ if !reading.losses.is_empty() => {
            words("No entry is shown", "Some could not be, see below: somebody has been at the database.", None)
        }
        _ if reading.size == 0 => words("The log is empty", "Nothing has been recorded yet.", None),
        _ if asked.is_filtered() => words("No entry matches", "Take a filter away, or begin anew.", all),
        _ => words("Nothing further back", "This is where the log begins.", all),
    }
}

/// What is not there to be seen, or not yet found by the index.
fn behind(reading: &Reading, counted: Counted) -> Option<String> {
    if reading.bodiless > 0 && counted == Counted::All {
        let archived = words::entries(reading.bodiless);
        return Some(format!(
            "{archived} that match are archived: their hashes are here, their text is in the archive."
        ));
    }
    if let Some(hint) = reading.hint.as_ref().filter(|_| !reading.entries.is_empty()) {
        return Some(hint.clone());
    }
    let behind = reading.size.saturating_sub(reading.indexed_to);
    (behind > MOST_BEHIND)
        .then(|| format!("The search index is {} behind; the newest are read one by one.", words::entries(behind)))
}

/// Where the entries can be had as a file.
fn exports(links: &Links) -> Vec<Choice> {
    let address = |format: &str| format!("/audit/export?{}", links.query(Some(("format", format.to_owned()))));
    let formats = [("CSV", "csv"), ("NDJSON", "ndjson")];
    formats.map(|(label, format)| Choice { label, href: address(format), current: false }).into()
}

/// How many entries were left out, and why. Whoever may not know how much else there is reads the same words each time:
/// a number that depends on what they may not read could be asked for filter by filter.
fn left_out(count: u64, counted: Counted) -> Option<String> {
    match (counted, count) {
        (Counted::Shown, _) => Some(SOME_ONLY.to_owned()),
        (Counted::All, 0) => None,
        (Counted::All, 1) => Some("1 entry of this stretch was left out, because no rule lets you read it.".to_owned()),
        (Counted::All, _) => Some(format!(
            "{} entries of this stretch were left out, because no rule lets you read them.",
            words::grouped(count)
        )),
    }
}

const SOME_ONLY: &str =
    "Only entries that a rule lets you read, and that are not archived, are shown; others are not counted.";
const PAGE: usize = 50;
const SECOND: i64 = 1_000_000;

/// Entries that are waiting to be indexed in good order: a few blocks.
const MOST_BEHIND: u64 = 8_192;
