//! What forms and links of the log's pages send, and what is said of what makes no sense.

use bailiwick::{
    audit::{Event, entry::Entry},
    model::Verdict,
};
use http::StatusCode;

use super::{all, asked, keep, listed, recorded};
use crate::support::{database, eventually, portal::TestPortal};

/// What a browser sends when nobody touched the filter form of this page.
fn unchanged(html: &str) -> String {
    let mut sent = url::form_urlencoded::Serializer::new(String::new());
    let form = html.split("<form class=\"find\"").nth(1).unwrap().split("</form>").next().unwrap();
    for input in form.split("<input ").skip(1) {
        let input = input.split('>').next().unwrap();
        let value = |name: &str| Some(input.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.to_owned());
        let (name, typed) = (value(" name").unwrap(), value(" value").unwrap());
        // HTML, "local date and time string": what is none is thrown away.
        let picked = input.contains("type=\"datetime-local\"");
        assert!(!picked || typed.is_empty() || typed.len() == "2026-11-22T18:18:10".len(), "{typed}");
        sent.append_pair(&name, &typed);
    }
    sent.finish()
}

#[tokio::test]
async fn a_form_that_nobody_changed_asks_for_the_same_entries() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    recorded(&portal, (0..3).map(|n| asked("wiki", n, Verdict::Allow))).await;
    let at = all(&db).await.into_iter().rev().find(|entry| matches!(entry.event, Event::Decision { .. })).unwrap();
    // From the very microsecond of one to the next: what a bar of the chart leads to.
    let (from, until) = (at.recorded_at, at.recorded_at.plus(std::time::Duration::from_micros(1)));
    for span in
        [format!("from={from}&until={until}"), "from=2020-01-01T00:00:00.5Z".to_owned(), "from=2020-01-01".to_owned()]
    {
        let query = format!("who=corp%2Fada&{span}");
        let page = portal.get(&format!("/audit?{query}"), &admin).await;
        assert!(!listed(&page).is_empty(), "{}", page.text);
        let mut again = portal.get(&format!("/audit?{}", unchanged(&page.text)), &admin).await;
        while again.status == StatusCode::SEE_OTHER {
            again = portal.get(again.header("location"), &admin).await;
        }
        assert_eq!((again.status, listed(&again)), (StatusCode::OK, listed(&page)), "{span}");
    }
}

#[tokio::test]
async fn a_search_that_makes_no_sense_is_answered_and_recorded_as_a_bad_request() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let page = portal.get("/audit?verdict=bogus2", &admin).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text.contains("value=\"bogus2\"") && page.text.contains("is one of allow"), "{}", page.text);
    let request = page.header("bailiwick-request").to_owned();
    let outcome = async || {
        let own = |entry: &Entry| entry.request.is_some_and(|id| id.to_string() == request);
        all(&db).await.into_iter().filter(own).find_map(|entry| match entry.event {
            Event::Outcome { status, .. } => Some(status),
            _ => None,
        })
    };
    assert_eq!(eventually(outcome).await, Some(400));
}

#[tokio::test]
async fn a_nul_from_a_stranger_is_no_failure_of_ours() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let wiki = "/handover?app=wiki&nonce=";
    let nonce = "0".repeat(64);
    for way_in in [
        "/audit?text=%00".to_owned(),
        "/audit?who=a%00b&text=x".to_owned(),
        "/audit?%00=1".to_owned(),
        format!("{wiki}{nonce}&return=%00"),
        format!("{wiki}{nonce}&return=/a?b=%00"),
        "/step-up?app=wiki&return=/%00".to_owned(),
    ] {
        let answer = portal.get(&way_in, "").await;
        assert!(!answer.status.is_server_error(), "{way_in}: {} {}", answer.status, answer.text);
        assert!(answer.status.is_redirection() || answer.text.contains("/sign-in"), "{way_in}: {}", answer.text);
    }
    for refused in [
        format!("{wiki}%00"),
        "/handover?app=%00&nonce=0".to_owned(),
        "/command-line?challenge=%00&state=%00&port=4000&host=%00".to_owned(),
        "/sign-in/callback?state=%00&code=%00".to_owned(),
        "/sign-in/callback?state=a&error=%00&error_description=%00".to_owned(),
    ] {
        let answer = portal.get(&refused, "").await;
        assert!(answer.status.is_client_error(), "{refused}: {} {}", answer.status, answer.text);
    }
    for (path, form) in [("/sign-in", "provider=%00"), ("/audit/searches", "name=%00"), ("/sign-out", "x=%00")] {
        assert!(portal.post(path, "", form).await.status.is_client_error(), "{path}");
    }
    let exchange =
        portal.post("/api/v1/command-line/token", "", "{\"code\":\"\\u0000\",\"verifier\":\"\\u0000\"}").await;
    assert!(exchange.status.is_client_error(), "{}", exchange.text);

    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    for (path, form) in [
        ("/audit/searches", "name=%00&search=verdict%3Ddeny"),
        ("/audit/searches", "name=x&search=who%3D%2500"),
        ("/audit/searches/remove", "name=%00"),
        ("/audit/searches/remove", "name=a%00b"),
    ] {
        assert_eq!(portal.post(path, &admin, form).await.status, StatusCode::BAD_REQUEST, "{path} {form}");
    }
    for path in ["/audit?who=%00", "/audit?text=a%00b", "/audit?where=%00", "/audit?rule=%00", "/audit/entries/%00"] {
        let answer = portal.get(path, &admin).await;
        assert!(!answer.status.is_server_error(), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn the_name_of_a_search_is_refused_with_a_reason_and_replaces_another_only_when_told_to() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let save = async |form: &str| portal.post("/audit/searches", &admin, form).await;
    assert_eq!(save("name=denials&search=verdict%3Ddeny").await.status, StatusCode::SEE_OTHER);
    let page = portal.get("/audit?verdict=allow", &admin).await;
    keep("real_saved", &page);
    assert!(page.text.contains("name=\"replace\""), "{}", page.text);
    let again = save("name=denials&search=verdict%3Dallow").await;
    assert!(again.status == StatusCode::BAD_REQUEST && again.text.contains("kept already"), "{}", again.text);
    assert!(portal.get("/audit", &admin).await.text.contains("href=\"/audit?verdict=deny\">denials</a>"));
    assert_eq!(save("name=denials&search=verdict%3Dallow&replace=yes").await.status, StatusCode::SEE_OTHER);
    assert!(portal.get("/audit", &admin).await.text.contains("href=\"/audit?verdict=allow\">denials</a>"));

    let hidden = save("name=ab%E2%80%8Bc&search=verdict%3Ddeny").await;
    assert!(hidden.text.contains("Character 3 of this one is U+200B"), "{}", hidden.text);
    let unknown = portal.post("/audit/searches/remove", &admin, "name=nothing").await;
    assert!(
        unknown.status == StatusCode::BAD_REQUEST && unknown.text.contains("No search of yours"),
        "{}",
        unknown.text
    );
}
