//! The first walk, by a person: a real browser, the certified provider, a passkey, the app behind the broker.

use sqlx::Row as _;

use crate::support::{self, Site, browser::Browser, person::at_the_provider};

const RULES: &str = r#"
@id("enrol-here") permit (principal, action == Action::"enrol", resource) when { context.address.isLoopback() };
@id("home") permit (principal, action == Action::"home", resource);
@id("own-sessions") permit (principal, action == Action::"endSession", resource) when { resource.owner == principal };
@id("admins-read-the-log") permit (principal in Group::"admins", action == Action::"readAudit", resource);
@id("staff-use-the-wiki") permit (principal in Group::"staff", action, resource in App::"wiki");
@id("admin-pages") @reason("The admin pages are for admins.")
forbid (principal, action, resource in Path::"wiki/admin") unless { principal in Group::"admins" };
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_enrols_signs_in_and_opens_the_app_and_the_log_says_so() {
    let site = Site::prepare(support::database().await, RULES).await;
    let running = site.start(None).await;

    let browser = Browser::open().await;
    browser.visit(site.wiki.as_str()).await;
    browser.reads("Sign in").await;
    browser.picture("sign-in").await;
    browser.click("form[action='/sign-in'] button").await;
    browser.click("a[href$='/abort']").await;
    let cancelled = browser.reads("You are not signed in").await;
    assert!(cancelled.contains("The sign-in was cancelled"), "{cancelled}");
    browser.picture("cancelled").await;
    browser.click("main a.button").await;
    at_the_provider(&browser, "bob").await;
    browser.reads("Register your passkey").await;
    browser.picture("enrolment").await;
    assert_eq!(site.upstream.reached(), 0, "half a login has reached the app");
    browser.click("form[data-ceremony] button").await;
    browser.reads("It sees corp/bob").await;

    browser.visit(site.wiki.join("/admin/users").unwrap().as_str()).await;
    browser.reads("The admin pages are for admins.").await;
    browser.picture("app-denied").await;
    browser.visit(site.portal.as_str()).await;
    browser.reads("wiki.test.localhost").await;
    browser.picture("home").await;
    let reached = site.upstream.reached();
    browser.visit(site.portal.join("/audit").unwrap().as_str()).await;
    browser.reads("no rule allows").await;

    browser.visit(site.portal.as_str()).await;
    browser.click("form[action='/sign-out'] button").await;
    browser.click("button[name=logout][value=yes]").await;
    browser.reads("igned out").await;
    browser.picture("signed-out").await;
    browser.visit(site.wiki.as_str()).await;
    browser.reads("Sign in").await;
    assert_eq!(site.upstream.reached(), reached, "the app was reached after signing out");
    drop(browser);

    an_administrator_reads_the_log(&site).await;
    running.stop().await;
    let handed_over =
        "select count(*) from entry where convert_from(substr(leaf, 2), 'UTF8') like '%\"step\":\"hand-over\"%'";
    let handed_over: i64 = sqlx::query_scalar(handed_over).fetch_one(&site.database.owner).await.unwrap();
    assert_eq!(handed_over, 1, "the hand-over to the app is not in the log");
    the_log_holds(&site, &["enrolled", "decision", "outcome", "login-ended", "broker-started", "broker-stopped"]).await;
}

async fn an_administrator_reads_the_log(site: &Site) {
    let browser = Browser::open().await;
    browser.visit(site.portal.join("/audit").unwrap().as_str()).await;
    at_the_provider(&browser, "alice").await;
    browser.reads("Register your passkey").await;
    browser.click("form[data-ceremony] button").await;
    browser.reads("corp/bob").await;
    browser.picture("audit").await;
}

async fn the_log_holds(site: &Site, kinds: &[&str]) {
    let rows = sqlx::query("select distinct kind from entry").fetch_all(&site.database.owner).await.unwrap();
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    for kind in kinds {
        assert!(found.iter().any(|it| it == kind), "no {kind} among {found:?}");
    }
}
