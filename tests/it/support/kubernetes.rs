//! A real Kubernetes control plane (`tests/cluster`) and a real kubectl, one of each per test process.
//! Promises that it ends with the process: it watches a pipe that only this process holds.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

/// The running control plane.
pub struct Kubernetes {
    folder: tempfile::TempDir,
    // Its standard input is the pipe; the process is ended by its closing.
    _process: Child,
}

impl Kubernetes {
    /// The one of this process; started by whoever asks first.
    pub fn running() -> &'static Self {
        static RUNNING: OnceLock<Kubernetes> = OnceLock::new();
        RUNNING.get_or_init(Self::start)
    }

    /// The broker's own way in: it may impersonate and nothing else.
    pub fn broker_kubeconfig(&self) -> PathBuf {
        self.folder.path().join("broker.kubeconfig")
    }

    /// What the API server has recorded so far, a line each. A line may come a moment after its answer.
    pub fn audit_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap()
    }

    /// kubectl as the cluster's administrator, around the broker.
    pub fn administrator(&self) -> Command {
        kubectl(&self.folder.path().join("admin.kubeconfig"))
    }

    fn start() -> Self {
        let program = installed("cluster/cluster");
        let folder = tempfile::tempdir().unwrap();
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubernetes/impersonator.yaml");
        let mut process = Command::new(program)
            .args(["--seed", "demo", "--exit-with-stdin", "--dir"])
            .arg(folder.path())
            .arg("--manifest")
            .arg(manifest)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let ready = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .any(|line| line.starts_with("READY"));
        let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        assert!(ready, "the control plane did not start:\n{}", log());
        let running = Self { folder, _process: process };
        running.admit_staff();
        running
    }

    /// The cluster itself lets the tests' people do more than the broker's rules will.
    fn admit_staff(&self) {
        for role in ["view", "demo:exec"] {
            let (name, role) = (format!("staff-{}", role.replace(':', "-")), format!("--clusterrole={role}"));
            let binding = ["create", "clusterrolebinding", &name, &role, "--group=corp:staff"];
            let output = self.administrator().args(binding).output().unwrap();
            assert!(output.status.success(), "{}", printed(&output));
        }
    }
}

/// kubectl with one kubeconfig and a home of its own.
pub fn kubectl(kubeconfig: &Path) -> Command {
    let mut command = Command::new(installed("kubectl/kubectl"));
    let home = kubeconfig.parent().unwrap();
    command.env("KUBECONFIG", kubeconfig).env("HOME", home).env("KUBECACHEDIR", home.join("kube-cache"));
    command
}

/// What a command printed: output and errors together.
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A program that `make test` has installed.
fn installed(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(name);
    assert!(program.exists(), "{} is missing: run `make test`, which installs what the tests need", program.display());
    program
}
