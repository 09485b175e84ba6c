//! The tour: the whole walk of the product, done by a software user and told step by step.
//!
//! It uses only the doors that people use: the pages, this very program, and kubectl. A step passes if what it did ended
//! as it should; the first that does not ends the tour.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{
    Line, Say,
    authenticator::SoftwareUser,
    browser::{Browser, Page},
    errand::{Errand, Running},
};

/// How soon a stream must end after its session did.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// A namespace that the demonstration's rules keep from the software user.
const CLOSED_NAMESPACE: &str = "payments";

/// What the tour needs to know.
pub(super) struct Tour<'a> {
    pub(super) portal: Url,
    pub(super) wiki: Url,
    /// The name of the software user at the provider.
    pub(super) subject: String,
    /// How this program and kubectl are run.
    pub(super) errand: Errand,
    /// The database, by the account that may only read the log.
    pub(super) auditor: String,
    /// The key that checks its checkpoints.
    pub(super) verifier: String,
    /// The cluster, where there is one.
    pub(super) cluster: Option<&'static str>,
    pub(super) say: &'a Say<'a>,
}

/// A step failed, and has been told.
struct Stopped;

impl Tour<'_> {
    /// Walks it. True: every step did what it should.
    pub(super) async fn walk(self) -> bool {
        let mut user = SoftwareUser::new(self.subject.clone(), self.portal.clone());
        let done = async {
            let mut browser = self.meet(&mut user).await?;
            self.use_the_wiki(&mut browser).await?;
            self.log_in_the_command_line(&mut browser).await?;
            if let Some(cluster) = self.cluster {
                self.use_the_cluster(cluster).await?;
            }
            self.end_the_session(&mut browser).await?;
            self.step("the audit log is verified against its checkpoint", self.verify().await)
        };
        done.await.is_ok()
    }

    async fn meet(&self, user: &mut SoftwareUser) -> Result<Browser, Stopped> {
        let mut first = Browser::default();
        let page = user.sign_in(&mut first).await;
        let page = self.step_with("signed in at the provider", page, |page| {
            format!("as demo/{}; that is half a login, and leads to {}", self.subject, page.url.path())
        })?;
        let enrolled = user.enrol(&mut first, &page).await;
        self.step_with("a passkey registered", enrolled, |_| {
            "decided by a rule, recorded, and possible once".to_owned()
        })?;

        let mut second = Browser::default();
        let asserted = async {
            let page = user.sign_in(&mut second).await?;
            user.assert(&mut second, &page).await?;
            second.open(&self.portal).await?.expect_success("the portal")
        };
        let asserted = asserted.await;
        self.step_with("the passkey asserted", asserted, |page| format!("in a second browser; {} is open", page.url))?;
        Ok(second)
    }

    async fn use_the_wiki(&self, browser: &mut Browser) -> Result<(), Stopped> {
        let allowed = async {
            let page = browser.open(&at(&self.wiki, "/docs/handbook")?).await?.expect_success("the wiki")?;
            let told = between(&page.text(), "<dt>Bailiwick-User</dt><dd>", "</dd>").unwrap_or_default();
            if told == format!("demo/{}", self.subject) {
                return Ok(format!("GET /docs/handbook; the app was told that it is {told}"));
            }
            Err(format!("the wiki was told that it is `{told}`"))
        };
        self.step("a request to the wiki allowed", allowed.await)?;
        let denied = async {
            let page = browser.follow(&self.wiki, &at(&self.wiki, "/admin")?).await?;
            match page.status.as_u16() {
                403 => Ok(format!("GET /admin: {}", reason(&page))),
                other => Err(format!("GET /admin answered {other}; did you change the rules?")),
            }
        };
        self.step("a request to the wiki denied", denied.await)
    }

    async fn log_in_the_command_line(&self, browser: &mut Browser) -> Result<(), Stopped> {
        let portal = self.portal.origin().ascii_serialization();
        let logged_in = async {
            let mut login = self.errand.start(&["login", "--portal", &portal, "--fresh", "--no-browser"])?;
            let url = login.line(|line| line.trim().starts_with("http")).await?;
            let url = Url::parse(url.trim()).map_err(|fault| fault.to_string())?;
            let page = browser.open(&url).await?.expect_success("the page that asks")?;
            let request = page.attribute("name=\"request\"", "value").ok_or("the page that asks has no form")?;
            let fields = [("request", request.as_str()), ("answer", "yes")];
            browser
                .submit(&page.url, &at(&self.portal, "/command-line")?, &fields)
                .await?
                .expect_success("the answer")?;
            login.finish().await.map(|said| last_line(&said.replace("\nNext:", " Next:")))
        };
        let what = if self.cluster.is_some() { "the command line logged in" } else { "a credential issued" };
        let outcome = logged_in.await.map(|said| said.split(" Next:").next().unwrap_or_default().to_owned());
        self.step(what, outcome)
    }

    async fn use_the_cluster(&self, cluster: &str) -> Result<(), Stopped> {
        let issued = async {
            self.errand.run(&["kube", "login", cluster]).await?;
            let answer = self.errand.run(&["kube", "credential", cluster]).await?;
            let answer: Value = serde_json::from_str(&answer).map_err(|fault| fault.to_string())?;
            let until = answer.pointer("/status/expirationTimestamp").and_then(Value::as_str);
            let until = until.ok_or("kube credential gave no certificate")?;
            Ok(format!("a certificate for {cluster} alone, until {until}; its key never left this machine"))
        };
        self.step("a credential issued", issued.await)?;
        let pods = self.errand.kubectl(&["get", "pods", "--namespace", "default"]).await;
        let pods = pods.map(|said| format!("{} lines", said.lines().count())).map_err(|why| {
            format!(
                "{why}\n(The cluster has its own say. If it refused: kubectl create rolebinding bailiwick-demo \
                     --clusterrole=view --group=demo:devs --namespace=default)"
            )
        });
        self.step("kubectl get pods allowed in default", pods)?;
        let refused = match self.errand.kubectl(&["get", "pods", "--namespace", CLOSED_NAMESPACE]).await {
            Err(why) if why.contains("Forbidden") || why.contains("forbidden") => Ok(last_line(&why)),
            Err(why) => Err(why),
            Ok(_) => Err("it was allowed; did you change the rules?".to_owned()),
        };
        self.step(&format!("kubectl get pods refused in {CLOSED_NAMESPACE}"), refused)
    }

    async fn end_the_session(&self, browser: &mut Browser) -> Result<(), Stopped> {
        let ended = async {
            let mut events = browser.stream(&at(&self.wiki, "/events")?).await?.into_body();
            next_event(&mut events).await?;
            let mut watch = None;
            if self.cluster.is_some() {
                let mut started = self.errand.start_kubectl(&["get", "pods", "--namespace", "default", "--watch"])?;
                started.line(|line| !line.trim().is_empty()).await?;
                watch = Some(started);
            }
            let session = self.current_session().await?;
            self.errand.run(&["session", "end", &session]).await?;
            let since = Instant::now();
            until_closed(events, watch).await?;
            let took = since.elapsed();
            let page = browser.open(&at(&self.wiki, "/docs/handbook")?).await?;
            if page.url.host_str() == self.wiki.host_str() && page.status.is_success() {
                return Err("the wiki still answers".to_owned());
            }
            let what =
                if self.cluster.is_some() { "the open watch and the wiki's stream" } else { "the wiki's stream" };
            Ok(format!("{what} closed {} ms later, and the next request is sent to sign in", took.as_millis()))
        };
        self.step("a session ended", ended.await)
    }

    async fn current_session(&self) -> Result<String, String> {
        let said = self.errand.run(&["session", "list", "--output", "json"]).await?;
        let list: Value = serde_json::from_str(&said).map_err(|fault| fault.to_string())?;
        let sessions = list.get("sessions").and_then(Value::as_array).ok_or("session list gave no list")?;
        let current = sessions.iter().find(|it| it.get("current") == Some(&Value::Bool(true)));
        let id = current.and_then(|it| it.get("id")).and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| "session list does not show the session that asks".to_owned())
    }

    /// As an auditor: nothing but a read-only account and the key. A checkpoint follows within a second of the entries.
    async fn verify(&self) -> Result<String, String> {
        let question = ["audit", "verify", "--database", &self.auditor, "--key", &self.verifier, "--output", "json"];
        let mut report = Value::Null;
        for _ in 0..6 {
            let said = self.errand.run(&question).await?;
            report = serde_json::from_str(&said).map_err(|fault| fault.to_string())?;
            if report.get("signed") == report.get("size") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let field = |name| report.get(name).map(Value::to_string).unwrap_or_default().replace('"', "");
        let (size, signed) = (field("size"), field("signed"));
        if size != signed {
            return Err(format!("{size} entries are sound, but the newest checkpoint covers {signed}"));
        }
        Ok(format!("sound: {size} entries, all under a signed checkpoint; root {}", field("root")))
    }

    fn step(&self, what: &str, outcome: Result<String, String>) -> Result<(), Stopped> {
        self.step_with(what, outcome, Clone::clone).map(drop)
    }

    fn step_with<T>(&self, what: &str, outcome: Result<T, String>, fact: impl Fn(&T) -> String) -> Result<T, Stopped> {
        match outcome {
            Ok(value) => {
                (self.say)(Line::Passed { what, fact: &fact(&value) });
                Ok(value)
            }
            Err(why) => {
                (self.say)(Line::Failed { what, why: &why });
                Err(Stopped)
            }
        }
    }
}

async fn next_event(events: &mut Incoming) -> Result<(), String> {
    let frame = tokio::time::timeout(CLOSED_WITHIN, events.frame()).await;
    match frame.map_err(|_| "the wiki's stream says nothing".to_owned())? {
        Some(Ok(_)) => Ok(()),
        _ => Err("the wiki's stream did not open".to_owned()),
    }
}

async fn until_closed(mut events: Incoming, watch: Option<Running>) -> Result<(), String> {
    let closed = async {
        while let Some(Ok(_)) = events.frame().await {}
        if let Some(watch) = watch {
            watch.ended().await;
        }
    };
    let closed = tokio::time::timeout(CLOSED_WITHIN, closed).await;
    closed.map_err(|_| format!("a stream was still open after {} s", CLOSED_WITHIN.as_secs()))
}

/// What the page of a refusal gives as the reason.
fn reason(page: &Page) -> String {
    let text = page.text();
    let reason = between(&text, "class=\"quote\">", "<").unwrap_or_default();
    reason.replace("&#39;", "'").replace("&#34;", "\"").replace("&quot;", "\"").trim().to_owned()
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    Some(text.split(before).nth(1)?.split(after).next()?.to_owned())
}

fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

fn at(base: &Url, path: &str) -> Result<Url, String> {
    base.join(path).map_err(|fault| fault.to_string())
}
