//! The audit log as those see it who review it: what they find, what they are not shown, what is recorded of it, and what
//! becomes of what an attacker wrote.

mod alarms;
mod altered;
mod export;
mod forms;
mod rare;
mod withheld;

use bailiwick::{
    audit::{Draft, Event, entry::Entry},
    model::{Action, CanonicalPath, LoginId, PortalAction, ReadingId, Scope, Verdict},
    store::saved_search,
};
use http::StatusCode;

use crate::support::{
    TestDb, audit, database, eventually,
    portal::{Answer, TestPortal},
    rows,
};

/// Auditors of the wiki, who see no more than that.
const SCOPED: &str = r#"
@id("auditors-open-the-log")
permit (principal in Group::"auditors", action in [Action::"readAudit", Action::"exportAudit"], resource);
@id("auditors-read-about-the-wiki")
permit (principal in Group::"auditors", action == Action::"readEntry", resource in App::"wiki");
"#;

/// What an attacker can make others read.
const HOSTILE: &str = "a\r\n\u{1b}[2J\0\u{202e}\u{2066}<script>x</script>\"'=1+1";

/// The nth request of Ada to an app, judged.
fn asked(app: &str, n: u64, verdict: Verdict) -> Draft {
    let mut draft = audit::decision(n, verdict);
    if let Event::Decision { action: Action::Web(web), .. } = &mut draft.event {
        web.app = app.parse().unwrap();
        web.path = CanonicalPath::parse(&format!("/page-{n}")).unwrap();
    }
    let mut caller = audit::caller();
    caller.scope = Scope::App { app: app.parse().unwrap() };
    caller.identity.subject = "ada".to_owned();
    Draft { caller: Some(caller.into()), happened_at: rows::NOON, ..draft }
}

async fn recorded(portal: &TestPortal, drafts: impl IntoIterator<Item = Draft>) {
    for draft in drafts {
        let _receipt = portal.state.log.append(draft).await.unwrap();
    }
}

async fn all(db: &TestDb) -> Vec<Entry> {
    audit::entries(&db.owner).await
}

/// The addresses of the log that a page links to.
fn links(answer: &Answer) -> Vec<String> {
    let hrefs = answer.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut links: Vec<String> = hrefs
        .filter(|href| href.starts_with("/audit"))
        .map(|href| href.replace("&#38;", "&").replace("&amp;", "&"))
        .collect();
    links.sort();
    links.dedup();
    links
}

/// The places of the entries that a page lists.
fn listed(answer: &Answer) -> Vec<u64> {
    let lines = answer.text.split("class=\"asked\" href=\"/audit/entries/").skip(1);
    lines.map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
}

/// Keeps a page for whoever wants to look at it.
fn keep(name: &str, answer: &Answer) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name).with_extension("html"), &answer.text).unwrap();
}

#[tokio::test]
async fn every_value_of_an_entry_leads_to_more_of_the_same() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    recorded(&portal, (0..6).map(|n| asked("wiki", n, if n % 2 == 0 { Verdict::Allow } else { Verdict::Deny }))).await;
    let page = portal.get("/audit", &admin).await;
    keep("real_audit", &page);
    assert_eq!(page.status, StatusCode::OK);
    let links = links(&page);
    for field in ["who=corp%2Fada", "where=wiki", "rule=ops-may-read", "address=127.0.0.1", "request=", "from="] {
        assert!(links.iter().any(|link| link.contains(field)), "{field}: {links:?}");
    }
    for link in links.iter().filter(|link| link.starts_with("/audit?")) {
        let answer = portal.get(link, &admin).await;
        assert_eq!(answer.status, StatusCode::OK, "{link}");
        assert!(!answer.text.contains("class=\"mistake\""), "{link}");
    }
    let denied = portal.get("/audit?who=corp%2Fada&verdict=deny", &admin).await;
    assert_eq!(listed(&denied).len(), 3);
    assert!(
        denied.text.contains("href=\"/audit?verdict=deny\"") && denied.text.contains("3 entries"),
        "{}",
        denied.text
    );
    keep("real_filtered", &denied);
}

#[tokio::test]
async fn a_page_ends_where_the_next_one_begins() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    recorded(&portal, (0..120).map(|n| asked("wiki", n, Verdict::Allow))).await;
    let (mut address, mut seen) = ("/audit?who=corp%2Fada".to_owned(), Vec::new());
    loop {
        let page = portal.get(&address, &admin).await;
        seen.extend(listed(&page));
        let next = links(&page).into_iter().rfind(|link| link.contains("before="));
        let Some(next) = next.filter(|_| page.text.contains("rel=\"next\"")) else { break };
        address = next;
    }
    assert_eq!(seen.len(), 120);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first, each once: {seen:?}");
}

#[tokio::test]
async fn a_mistake_is_said_beside_its_field_and_what_was_typed_stays() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let page = portal.get("/audit?from=yesterday&who=corp%2Fada&request=7&colour=red", &admin).await;
    keep("real_mistake", &page);
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    for kept in ["value=\"yesterday\"", "value=\"corp/ada\"", "value=\"7\"", "colour", "Nothing was looked for"] {
        assert!(page.text.contains(kept), "{kept}");
    }
    assert_eq!(page.text.matches("aria-invalid=\"true\"").count(), 2);
    for untrue in ["others are not counted", "where=wiki", "/audit/export"] {
        assert!(!page.text.contains(untrue), "nothing was looked for, and she may read all: {untrue}");
    }
    let form = portal.get("/audit?text=&who=corp%2Fada&verdict=", &admin).await;
    assert_eq!((form.status, form.header("location")), (StatusCode::SEE_OTHER, "/audit?who=corp%2Fada"));
}

#[tokio::test]
async fn an_auditor_of_one_app_is_shown_that_app_and_no_count_of_the_rest() {
    let db = database().await;
    let portal = TestPortal::open_with(&db, SCOPED).await;
    let (auditor, _) = portal.signed_in("olga", &["auditors"]).await;
    recorded(&portal, (0..3).map(|n| asked("wiki", n, Verdict::Allow))).await;
    recorded(&portal, (3..10).map(|n| asked("billing", n, Verdict::Deny))).await;

    let page = portal.get("/audit", &auditor).await;
    keep("real_scoped", &page);
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.text.matches("GET wiki/page-").count(), 3, "{}", page.text);
    assert!(!page.text.contains("billing") && !page.text.contains("corp/olga"), "only the wiki");
    let entries = all(&db).await;
    assert!(page.text.contains("others are not counted"), "{}", page.text);
    assert!(page.text.contains("The entries shown") && !page.text.contains(" denied, 7"), "no totals");
    assert!(page.text.contains(">3</span> allowed") && page.text.contains(">0</span> denied"), "the chart is of these");

    let index = |app: &str, entries: &[Entry]| {
        let about = |entry: &Entry| matches!(&entry.event, Event::Decision { action: Action::Web(web), .. } if web.app.as_str() == app);
        entries.iter().position(about).unwrap()
    };
    let (open, hidden) = (index("wiki", &entries), index("billing", &entries));
    for file in ["", "/proof", "/evidence"] {
        let answer = portal.get(&format!("/audit/entries/{hidden}{file}"), &auditor).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{file}");
        assert!(!answer.text.contains("billing") && !answer.text.contains("c2sp"), "{file}");
    }
    let entry = portal.get(&format!("/audit/entries/{open}"), &auditor).await;
    assert_eq!(entry.status, StatusCode::OK);
    assert!(entry.text.contains("GET wiki/page-0") && !entry.text.contains("permit ("), "no text of rules for her");
    for link in links(&entry).iter().filter(|link| link.starts_with("/audit/entries/")) {
        assert_eq!(portal.get(link, &auditor).await.status, StatusCode::OK, "{link} leads to what she may read");
    }
    // What there is and what there is not look the same to her, but for the word that she asked with.
    let asked = async |app: &str| {
        let page = portal.get(&format!("/audit?where={app}"), &auditor).await;
        assert!(listed(&page).is_empty() && page.text.contains("Nothing here that you may read"), "{}", page.text);
        let line = |line: &&str| !line.contains(" sealed ") && !line.contains("class=\"request\"");
        page.text.replace(app, "app").lines().filter(line).collect::<Vec<_>>().join("\n")
    };
    // Both pages know of a checkpoint, or one of them could be the first to.
    let sealed = async || portal.get("/audit", &auditor).await.text.contains(" sealed ").then_some(());
    eventually(sealed).await;
    assert_eq!(asked("billing").await, asked("nowhere").await);
}

#[tokio::test]
async fn who_may_open_the_log_may_not_yet_read_it() {
    let db = database().await;
    let rules = r#"@id("x") permit (principal in Group::"devs", action == Action::"readAudit", resource);"#;
    let portal = TestPortal::open_with(&db, rules).await;
    let (developer, _) = portal.signed_in("ada", &["devs"]).await;
    let page = portal.get("/audit", &developer).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(listed(&page).is_empty() && page.text.contains("others are not counted"));
    assert_eq!(portal.get("/audit/entries/0", &developer).await.status, StatusCode::FORBIDDEN);
    assert_eq!(portal.get("/audit/entries/0/evidence", &developer).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_reading_is_recorded_once_with_what_was_looked_for_and_how_much_was_sent() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let page = portal.get("/audit?verdict=deny&who=corp%2Fada", &admin).await;
    let request = page.header("bailiwick-request").to_owned();
    let own = async || -> Vec<Event> {
        let own = |entry: &Entry| entry.request.is_some_and(|id| id.to_string() == request);
        all(&db).await.into_iter().filter(own).map(|entry| entry.event).collect()
    };
    let events = eventually(async || Some(own().await).filter(|events| events.len() > 1)).await;
    let Event::Decision { action: Action::Portal(PortalAction::ReadAudit { search }), .. } = &events[0] else {
        panic!("{events:?}")
    };
    assert_eq!(search.as_deref(), Some("who=corp%2Fada&verdict=deny"));
    let Event::Outcome { status, sent, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!((*status, *sent), (Some(200), page.bytes.len() as u64));
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn searches_are_kept_changed_and_forgotten_each_with_its_entry() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let (other, _) = portal.signed_in("olga", &["admins"]).await;
    let kept =
        portal.post("/audit/searches", &admin, "name=my+denials&search=verdict%3Ddeny%26who%3Dcorp%252Fada").await;
    assert_eq!(kept.header("location"), "/audit?who=corp%2Fada&verdict=deny", "{}", kept.text);
    assert!(portal.get("/audit", &admin).await.text.contains(">my denials</a>"));
    assert!(!portal.get("/audit", &other).await.text.contains(">my denials</a>"), "each their own");
    portal.post("/audit/searches", &admin, "name=my+denials&search=verdict%3Ddeny&replace=yes").await;
    portal.post("/audit/searches", &admin, "name=my+denials&search=verdict%3Ddeny").await;
    portal.post("/audit/searches/remove", &other, "name=my+denials").await;
    portal.post("/audit/searches/remove", &admin, "name=my+denials").await;
    assert!(!portal.get("/audit", &admin).await.text.contains(">my denials</a>"));
    let changes = all(&db).await.into_iter().filter_map(|entry| match entry.event {
        Event::SearchChanged { before, after, .. } => Some((before, after)),
        _ => None,
    });
    let changes: Vec<_> = changes.collect();
    let text = |text: &str| Some(text.to_owned());
    let (both, deny) = (text("who=corp%2Fada&verdict=deny"), text("verdict=deny"));
    assert_eq!(changes, [(None, both.clone()), (both, deny.clone()), (deny, None)], "nothing for what changes nothing");

    for bad in [
        "name=&search=verdict%3Ddeny",
        "name=x&search=verdict%3Dmaybe",
        "name=a%1b%5b2J&search=",
        "name=a%E2%80%AEb&search=",
    ] {
        assert_eq!(portal.post("/audit/searches", &admin, bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let (developer, _) = portal.signed_in("ada", &["devs"]).await;
    let denied = portal.post("/audit/searches", &developer, "name=x&search=").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    let mut connection = db.pool.acquire().await.unwrap();
    let update = sqlx::query("update saved_search set search = ''").execute(&mut *connection).await;
    assert!(update.is_err(), "the broker's role may not change one in place");
    let person = rows::half_login(&db.owner, "ada").await.person;
    assert!(saved_search::of_person(&db.pool, person).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_entry_in_full_is_proven_from_the_bytes_and_a_changed_byte_is_not() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    // Her own denial under the demonstration's rules: the text of the rule is in the store.
    let (developer, _) = portal.signed_in("ada", &["devs"]).await;
    portal.get("/sessions", &developer).await;
    portal.get("/sessions", &admin).await;
    let entries = all(&db).await;
    let listed = |entry: &Entry| matches!(&entry.event, Event::Decision { action: Action::Portal(PortalAction::ListSessions), decision, .. } if decision.verdict == Verdict::Allow);
    let index = entries.iter().position(listed).unwrap();
    let address = format!("/audit/entries/{index}");
    let page = eventually(async || {
        Some(portal.get(&address, &admin).await).filter(|page| page.text.contains(">proven</span>"))
    })
    .await;
    keep("real_entry", &page);
    for word in ["admins-look-after-the-portal", "10-portal.cedar", "permit (", "assuranceAge", "What belongs to it"] {
        assert!(page.text.contains(word), "{word}: {}", page.text);
    }
    let proof = portal.get(&format!("{address}/proof"), &admin).await;
    assert!(proof.text.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {index}\n")), "{}", proof.text);
    let bundle = portal.get(&format!("{address}/evidence"), &admin).await;
    assert_eq!(bundle.status, StatusCode::OK, "{}", bundle.text);
    assert!(bundle.text.contains("{\"bundle\":") && bundle.text.contains("\"text\":"), "{}", bundle.text);
    let exported = all(&db).await.into_iter().any(|entry| {
        matches!(entry.event, Event::Exported { search, format, .. } if search == format!("entry={index}") && format == "bundle")
    });
    assert!(exported, "taking evidence away is recorded");

    let edit = "update entry set leaf = convert_to(replace(convert_from(leaf, 'utf8'), 'grace', 'gracf'), 'utf8') where leaf_index = $1";
    sqlx::query(edit).bind(index as i64).execute(&db.owner).await.unwrap();
    let page = portal.get(&address, &admin).await;
    assert!(page.text.contains(">does not hold</span>") && page.text.contains("gracf"), "{}", page.text);
    assert_eq!(portal.get(&format!("{address}/proof"), &admin).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(portal.get("/audit/entries/99999", &admin).await.status == StatusCode::NOT_FOUND);
    assert!(portal.get("/audit/entries/007", &admin).await.status == StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_an_attacker_wrote_is_inert_on_every_page() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let text = || HOSTILE.to_owned();
    let draft = |event| Draft { caller: None, event, happened_at: rows::NOON, request: Some(audit::request(1)) };
    let mut caller = audit::caller();
    (caller.identity.name, caller.identity.subject, caller.groups) = (text(), text(), vec![text()]);
    let mut decision = asked("wiki", 9, Verdict::Deny);
    if let Event::Decision { decision, .. } = &mut decision.event {
        let texts = || vec![text()];
        let said =
            bailiwick::model::Decision { policies: texts(), reasons: texts(), errors: texts(), ..decision.to_value() };
        *decision = said.into();
    }
    let events = [
        draft(Event::Refused { check: text(), why: text(), target: text(), address: text() }),
        draft(Event::NotForwarded { why: text() }),
        draft(Event::PolicyRejected { errors: vec![text(), text()] }),
        draft(Event::LoginEnded {
            login: LoginId::from_uuid(uuid::Uuid::nil()),
            owner: caller.identity.clone(),
            cause: text(),
        }),
        draft(Event::LogRead {
            reading: ReadingId::from_uuid(uuid::Uuid::nil()),
            account: text(),
            address: Some(text()),
            client: text(),
            command: text(),
            search: text(),
            entries: None,
            manifest: None,
        }),
        draft(Event::SearchChanged { name: text(), before: Some(text()), after: Some(text()) }),
        Draft { caller: Some(caller.into()), ..decision },
    ];
    let first = all(&db).await.len();
    let count = events.len();
    recorded(&portal, events).await;
    let encoded: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let mut pages = vec![
        "/audit".to_owned(),
        format!("/audit?text={encoded}"),
        format!("/audit?who={encoded}"),
        format!("/audit?{encoded}={encoded}"),
    ];
    pages.extend((first..first + count).map(|index| format!("/audit/entries/{index}")));
    for path in pages {
        let page = portal.get(&path, &admin).await;
        keep("real_hostile", &page);
        assert!(page.status == StatusCode::OK || path.starts_with("/audit?"), "{path}: {}", page.status);
        let bad =
            |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!page.text.contains(bad), "{path}: {:?}", page.text.chars().find(|c| bad(*c)));
        assert!(!page.text.contains("<script>x"), "{path}");
        assert!(!page.headers.values().any(|value| value.as_bytes().contains(&0x1b)), "{path}");
    }
}

#[tokio::test]
async fn rules_are_shown_to_those_who_may_read_them() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let page = portal.get("/policy", &admin).await;
    keep("real_policy", &page);
    for word in ["admin-pages-are-for-admins", "20-wiki.cedar", "The admin pages are for the admins group.", "forbid ("]
    {
        assert!(page.text.contains(word), "{word}");
    }
}
