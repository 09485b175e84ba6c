//! A person at a computer: a browser with an authenticator, the command line, and kubectl. Signs in at the certified
//! provider and enrols a passkey on first use.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use url::Url;

use super::{Site, browser::Browser, kubernetes};

/// A person, signed in at a site.
pub struct Person {
    pub browser: Browser,
    home: tempfile::TempDir,
    portal: Url,
}

impl Person {
    /// Signs in through the portal, with a new passkey.
    pub async fn sign_in(site: &Site, who: &str) -> Self {
        let browser = Browser::open().await;
        browser.visit(site.portal.as_str()).await;
        at_the_provider(&browser, who).await;
        browser.reads("Register your passkey").await;
        browser.click("form[data-ceremony] button").await;
        browser.reads("Hello").await;
        Self { browser, home: tempfile::tempdir().unwrap(), portal: site.portal.clone() }
    }

    /// The command line of this person.
    pub fn bailiwick(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command.args(arguments).env("BAILIWICK_HOME", self.home.path().join("bailiwick"));
        command.env("HOME", self.home.path()).env("KUBECONFIG", self.kubeconfig()).stdin(Stdio::null());
        command
    }

    /// Runs the command line; it must succeed.
    pub fn does(&self, arguments: &[&str]) -> String {
        let output = self.bailiwick(arguments).output().unwrap();
        let printed = kubernetes::printed(&output);
        assert!(output.status.success(), "bailiwick {arguments:?}: {printed}");
        printed
    }

    /// `bailiwick login`, confirmed in the browser.
    pub async fn log_in(&self) {
        let mut command = self.bailiwick(&["login", "--no-browser", "--portal", self.portal.as_str()]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let url = read_until(child.stdout.take().unwrap(), "/command-line");
        self.browser.visit(url.trim()).await;
        self.browser.picture("command-line").await;
        self.browser.click("button[value=yes]").await;
        self.browser.reads("Done.").await;
        assert!(child.wait().unwrap().success(), "bailiwick login failed");
    }

    /// kubectl with this person's credentials.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = kubernetes::kubectl(&self.kubeconfig());
        command.env("BAILIWICK_HOME", self.home.path().join("bailiwick")).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs kubectl; the exit code and what it printed.
    pub fn kubectl_prints(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.kubectl(arguments).output().unwrap();
        (output.status.code(), kubernetes::printed(&output))
    }

    fn kubeconfig(&self) -> PathBuf {
        Path::new(self.home.path()).join("kubeconfig")
    }
}

/// The provider's own page: any password will do there.
pub async fn at_the_provider(browser: &Browser, who: &str) {
    browser.click("form[action='/sign-in'] button").await;
    browser.fill("input[name=login]", who).await;
    browser.fill("input[name=password]", "any").await;
    browser.click("button[type=submit]").await;
}

/// Starts a program and waits until a line of its output contains `words`.
pub fn started(command: &mut Command, words: &str) -> Child {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    read_until(child.stdout.take().unwrap(), words);
    child
}

/// The first line that contains `words`. What follows is read away, so that the writer never stops for us.
pub fn read_until(output: impl std::io::Read + Send + 'static, words: &str) -> String {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let mut seen = String::new();
    let found = lines.find(|line| {
        seen = format!("{seen}{line}\n");
        line.contains(words)
    });
    std::thread::spawn(move || lines.for_each(drop));
    found.unwrap_or_else(|| panic!("{words:?} is not in:\n{seen}"))
}
