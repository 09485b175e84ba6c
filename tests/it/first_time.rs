//! What people meet who mistype, or whose portal is away: words that say what to do, and nothing that leads astray.

use http::StatusCode;

use crate::support::{database, free_port, ledger::cli, portal::TestPortal};

#[tokio::test]
async fn a_portal_that_is_away_is_noticed_before_anybody_is_sent_there() {
    let portal = format!("http://127.0.0.1:{}", free_port());
    let said = cli(&["login", "--no-browser", "--portal", &portal]).await;
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("could not be reached"), "{said:?}");
}

#[tokio::test]
async fn a_session_that_does_not_exist_is_called_so() {
    let said = cli(&["session", "end", "not\u{1b}an-id"]).await;
    assert_eq!(said.code, 2);
    assert!(said.err.contains("`not\u{fffd}an-id` is not the id of a session; `bailiwick session list`"), "{said:?}");

    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let answer = portal.post("/sessions/0b9f6c1e-3c1f-4a3e-9a55-7a8b62a3c5d1/end", &admin, "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.text.contains("No session has this id."), "{}", answer.text);
}
