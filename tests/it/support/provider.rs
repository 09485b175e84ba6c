//! The certified `oidc-provider` from npm as a child process on a port of the kernel's choosing, and the smallest
//! browser that gets through its pages. Ends with its handle, or with this process: it reads our pipe.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
};

use bailiwick::outbound::{Outbound, Plain, Route};
use http::{Method, Request, Response, header};
use url::Url;

/// A running provider.
pub struct CertifiedProvider {
    /// Its issuer identifier.
    pub issuer: String,
    /// How it knows us, and our secret with it.
    pub client: (&'static str, &'static str),
    process: Child,
    _ends_when_closed: ChildStdin,
}

impl CertifiedProvider {
    /// Starts a provider that sends people back to `redirect` after sign-in and to `after_sign_out` after sign-out.
    pub fn start(redirect: &str, after_sign_out: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/provider");
        assert!(
            std::path::Path::new(folder).join("node_modules").exists(),
            "oidc-provider is missing: run `make test`, which installs what the tests need"
        );
        let asked = serde_json::json!({ "redirect_uris": [redirect], "post_logout_redirect_uris": [after_sign_out] });
        let mut process = Command::new("node")
            .arg("provider.mjs")
            .arg(asked.to_string())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let ends_when_closed = process.stdin.take().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.strip_prefix("listening ").map(str::to_owned)).expect("it says its port");
        std::thread::spawn(move || lines.for_each(drop));
        let issuer = format!("http://localhost:{port}");
        let client = ("bailiwick", "a-secret-that-only-the-tests-use");
        Self { issuer, client, process, _ends_when_closed: ends_when_closed }
    }
}

impl Drop for CertifiedProvider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Keeps cookies per host, follows redirects within the provider, and fills in its one form.
pub struct Surfer {
    client: Outbound,
    cookies: BTreeMap<(String, String), String>,
}

impl Default for Surfer {
    fn default() -> Self {
        let route = Route { plain: Plain::Loopback, ..Route::default() };
        Self { client: Outbound::new(route).unwrap(), cookies: BTreeMap::new() }
    }
}

impl Surfer {
    /// Signs in as `who`, starting where the broker sent us; the answer is where the provider sends us back to.
    pub async fn sign_in(&mut self, begin: Url, who: &str) -> Url {
        let mut at = begin.clone();
        loop {
            if at.authority() != begin.authority() {
                return at;
            }
            let mut response = self.fetch(Method::GET, &at, "").await;
            if response.status() == 200 {
                let form = format!("prompt=login&login={who}&password=any");
                response = self.fetch(Method::POST, &at, &form).await;
            }
            assert!(response.status().is_redirection(), "{at}: {} {:?}", response.status(), text(&response));
            let next = response.headers().get(header::LOCATION).unwrap().to_str().unwrap();
            at = at.join(next).unwrap();
        }
    }

    /// One request, with the host's cookies.
    pub async fn fetch(&mut self, method: Method, url: &Url, form: &str) -> Response<Vec<u8>> {
        let host = url.authority().to_owned();
        let mine = self.cookies.iter().filter(|((of, _), _)| *of == host);
        let cookies: Vec<String> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::COOKIE, cookies.join("; "))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.as_bytes().to_vec())
            .unwrap();
        let response = self.client.fetch(request).await.unwrap();
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert((host.clone(), name.to_owned()), value.to_owned());
        }
        response
    }
}

fn text(response: &Response<Vec<u8>>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}
