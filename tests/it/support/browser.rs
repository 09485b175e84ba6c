//! A real Chromium with a virtual authenticator (WebAuthn Level 3, section 11), driven over WebDriver.
//! One ChromeDriver and one browser per test, both ended with it. The browser resolves `*.localhost` by itself.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use serde_json::json;
use thirtyfour::{
    ChromiumLikeCapabilities, DesiredCapabilities, RequestData, SessionId, WebDriver,
    common::command::FormatRequestData, prelude::*,
};

/// A browser whose user has one authenticator.
pub struct Browser {
    pub driver: WebDriver,
    process: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts ChromeDriver on a port of the kernel's choosing, then a headless Chromium with an authenticator.
    pub async fn open() -> Self {
        let mut process = Command::new("chromedriver")
            .args(["--port=0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: run `make test`, which installs what the tests need");
        let port = announced_port(&mut process);
        let profile = tempfile::tempdir().unwrap();
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities(profile.path())).await.unwrap();
        driver.handle().cmd(AddAuthenticator).await.unwrap();
        Self { driver, process, _profile: profile }
    }

    /// Opens a page.
    pub async fn visit(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// Waits until an element is there and clicks it.
    pub async fn click(&self, selector: &str) {
        let element = self.driver.query(By::Css(selector)).wait(PATIENCE, POLL).first().await.unwrap();
        element.click().await.unwrap();
    }

    /// Types into a field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.driver.query(By::Css(selector)).wait(PATIENCE, POLL).first().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// Waits until the page's text contains `words`, and returns the whole text.
    pub async fn reads(&self, words: &str) -> String {
        let body = format!("//body[contains(normalize-space(.), \"{words}\")]");
        match self.driver.query(By::XPath(body)).wait(PATIENCE, POLL).first().await {
            Ok(element) => element.text().await.unwrap(),
            Err(_) => panic!("{:?} never read {words:?}; it reads:\n{}", self.url().await, self.text().await),
        }
    }

    /// The address that is shown.
    pub async fn url(&self) -> String {
        self.driver.current_url().await.unwrap().to_string()
    }

    /// The text of the page.
    pub async fn text(&self) -> String {
        self.driver.find(By::Css("body")).await.unwrap().text().await.unwrap()
    }

    /// The value of a cookie of the page that is shown.
    pub async fn cookie(&self, name: &str) -> String {
        self.driver.get_named_cookie(name).await.unwrap().value
    }

    /// Keeps a picture, where `SCREENSHOTS` names a folder.
    pub async fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("SCREENSHOTS") {
            let file = Path::new(&folder).join(format!("{name}.png"));
            self.driver.screenshot(&file).await.unwrap();
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // ChromeDriver ends its browsers when it is asked to stop.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// How long a page may take on a slow machine before the test gives up; events, not this, decide how long it takes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);
const POLL: std::time::Duration = std::time::Duration::from_millis(50);

fn announced_port(process: &mut Child) -> u16 {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains("started successfully on port"))
        .expect("chromedriver said no port");
    // Keep reading, or a full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    line.trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap()
}

fn capabilities(profile: &Path) -> thirtyfour::ChromeCapabilities {
    let mut chrome = DesiredCapabilities::chrome();
    let profile = format!("--user-data-dir={}", profile.display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=1100,900",
        &profile,
    ];
    for argument in arguments {
        chrome.add_arg(argument).unwrap();
    }
    chrome
}

#[derive(Debug)]
struct AddAuthenticator;

impl FormatRequestData for AddAuthenticator {
    fn format_request(&self, session: &SessionId) -> RequestData {
        let uri: Arc<str> = format!("session/{session}/webauthn/authenticator").into();
        RequestData::new(http::Method::POST, uri).add_body(json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserVerified": true,
            "isUserConsenting": true
        }))
    }
}
