//! A whole broker on a test's database: configuration, keys and rules in a folder of its own, the certified provider
//! from npm, one protected app, and a cluster where the test wants one. Everything but the outside world is real.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bailiwick::{
    app::{self, Running, StartFault},
    config::Settings,
    model::{SystemClock, SystemEntropy},
};
use url::Url;

use super::{CertifiedProvider, TestDb, Upstream, free_port, kubernetes::Kubernetes, person::read_until};

/// What a broker stands on; several brokers may share it.
pub struct Site {
    pub database: TestDb,
    pub upstream: Upstream,
    pub portal: Url,
    pub wiki: Url,
    pub folder: tempfile::TempDir,
    pub provider: CertifiedProvider,
    ports: Ports,
}

/// Where one broker of a site listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Portal and app, plain HTTP.
    pub http: u16,
    /// The cluster, TLS.
    pub cluster: u16,
}

impl Site {
    /// Prepares everything for brokers on `database`, with the rules given.
    pub async fn prepare(database: TestDb, rules: &str) -> Self {
        let port = free_port();
        let portal: Url = format!("http://auth.test.localhost:{port}").parse().unwrap();
        let wiki: Url = format!("http://wiki.test.localhost:{port}").parse().unwrap();
        let at = |path| portal.join(path).unwrap();
        let provider = CertifiedProvider::start(at("/sign-in/callback").as_str(), at("/signed-out").as_str());
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports { http: port, cluster: free_port() };
        let site = Self { database, upstream: Upstream::start().await, portal, wiki, folder, provider, ports };
        site.write("policies/rules.cedar", rules);
        site.write("entities.json", "[]");
        site.write("client.secret", site.provider.client.1);
        site.write_certificate();
        site.configure(site.first_ports(), None);
        site.bailiwick(&["key", "init"]);
        site
    }

    /// The ports of the broker that people's browsers reach.
    pub const fn first_ports(&self) -> Ports {
        self.ports
    }

    /// Ports of another broker on the same database.
    pub fn other_ports(&self) -> Ports {
        Ports { http: free_port(), cluster: free_port() }
    }

    /// Writes a configuration for a broker at `ports`, and says where.
    pub fn configure(&self, ports: Ports, cluster: Option<&Kubernetes>) -> PathBuf {
        let cluster = cluster.map_or(String::new(), |cluster| {
            format!(
                "[[cluster]]\nname = \"demo\"\nhost = \"demo.k8s.test.localhost\"\nlisten = \"127.0.0.1:{}\"\n\
                 kubeconfig = {:?}\nserver_url = \"https://127.0.0.1:{}\"\n",
                ports.cluster,
                cluster.broker_kubeconfig(),
                ports.cluster,
            )
        });
        let text = format!(
            r#"
[portal]
url = "{portal}"

[listener]
http = "127.0.0.1:{http}"
status = "127.0.0.1:0"
certificate_file = "tls.crt"
key_file = "tls.key"

[database]
url = "{database}"

[keys]
wrapping_key_file = "wrapping.key"

[[provider]]
name = "corp"
issuer = "{issuer}"
client_id = "{client}"
client_secret_file = "client.secret"
algorithms = ["ES256"]

[policy]
folder = "policies"
entities = "entities.json"

[[app]]
name = "wiki"
host = "wiki.test.localhost:{port}"
upstream = "http://{upstream}"

{cluster}
"#,
            portal = self.portal.as_str().trim_end_matches('/'),
            http = ports.http,
            port = self.ports.http,
            database = self.database.broker_url,
            issuer = self.provider.issuer,
            client = self.provider.client.0,
            upstream = self.upstream.address,
        );
        self.write(&format!("bailiwick-{}.toml", ports.http), &text)
    }

    /// A broker in this process, at the ports that browsers reach.
    pub async fn start(&self, cluster: Option<&Kubernetes>) -> Running {
        let path = self.configure(self.first_ports(), cluster);
        let settings = Settings::load(&path).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        app::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.unwrap()
    }

    /// Tries to start a broker over a configuration that was written before.
    pub async fn try_start(&self, configuration: &Path) -> Result<Running, StartFault> {
        let settings = Settings::load(configuration).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        app::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await
    }

    /// The configuration of the first broker, with something `more`.
    pub fn configure_with(&self, more: &str) -> PathBuf {
        let path = self.configure(self.first_ports(), None);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}\n{more}")).unwrap();
        path
    }

    /// Runs the program against this site's configuration; it must succeed.
    pub fn bailiwick(&self, arguments: &[&str]) -> String {
        let config = self.folder.path().join(format!("bailiwick-{}.toml", self.ports.http));
        let output =
            Command::new(env!("CARGO_BIN_EXE_bailiwick")).args(arguments).arg("--config").arg(config).output().unwrap();
        let printed = super::kubernetes::printed(&output);
        assert!(output.status.success(), "bailiwick {arguments:?}: {printed}");
        printed
    }

    /// Writes a file of this site, closed to others.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn write_certificate(&self) {
        let names = ["auth", "wiki", "demo.k8s"].map(|name| format!("{name}.test.localhost"));
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        self.write("tls.crt", &made.cert.pem());
        self.write("tls.key", &made.signing_key.serialize_pem());
    }
}

/// A broker as a process of its own; stopped with its handle.
pub struct Process(Child);

impl Process {
    /// Starts one with the configuration given, and waits until it serves.
    pub fn serve(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command.args(["serve", "--log-format", "text", "--config"]).arg(config);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        read_until(child.stderr.take().unwrap(), "serving");
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
