//! Running this program and kubectl as the tour's user would: with a home of its own, so that nothing of the real
//! user's is read or changed. What it starts ends with it.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// How to run things for the tour's user.
pub(super) struct Errand {
    /// This program.
    pub(super) program: PathBuf,
    /// kubectl, where there is a cluster.
    pub(super) kubectl: Option<PathBuf>,
    /// The user's home.
    pub(super) home: PathBuf,
}

/// A program that has been started and has not ended.
pub(super) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Errand {
    /// Runs this program to its end; gives what it said.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        finished(self.command(&self.program, arguments)).await
    }

    /// Runs kubectl to its end; gives what it said.
    pub(super) async fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        finished(self.command(self.kubectl.as_ref().ok_or("there is no kubectl")?, arguments)).await
    }

    /// Starts this program.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Running, String> {
        started(self.command(&self.program, arguments))
    }

    /// Starts kubectl.
    pub(super) fn start_kubectl(&self, arguments: &[&str]) -> Result<Running, String> {
        started(self.command(self.kubectl.as_ref().ok_or("there is no kubectl")?, arguments))
    }

    fn command(&self, program: &PathBuf, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("BAILIWICK_HOME", self.home.join("bailiwick"))
            .env("HOME", &self.home)
            .env("KUBECONFIG", self.home.join("kubeconfig"))
            .env("KUBECACHEDIR", self.home.join("kube-cache"))
            .env("KUBERC", "off")
            .env_remove("KUBERNETES_EXEC_INFO")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Running {
    /// The first line that is looked for.
    pub(super) async fn line(&mut self, wanted: impl Fn(&str) -> bool) -> Result<String, String> {
        let search = async {
            loop {
                let mut line = String::new();
                match self.output.read_line(&mut line).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) if wanted(&line) => return Some(line),
                    Ok(_) => {}
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(format!("it ended too early: {}", complaint(&mut self.child).await)),
            Err(_) => Err("it said nothing".to_owned()),
        }
    }

    /// Waits for its end; gives what else it said.
    pub(super) async fn finish(mut self) -> Result<String, String> {
        let mut said = String::new();
        let end = async {
            let _ = self.output.read_to_string(&mut said).await;
            self.child.wait().await
        };
        match tokio::time::timeout(PATIENCE, end).await {
            Ok(Ok(status)) if status.success() => Ok(said),
            Ok(_) => Err(complaint(&mut self.child).await),
            Err(_) => Err("it does not end".to_owned()),
        }
    }

    /// Waits for its end, however it ends.
    pub(super) async fn ended(mut self) {
        let mut rest = Vec::new();
        let _ = self.output.read_to_end(&mut rest).await;
        let _ = self.child.wait().await;
    }
}

fn started(mut command: Command) -> Result<Running, String> {
    let mut child = command.spawn().map_err(|fault| fault.to_string())?;
    let output = child.stdout.take().ok_or("it has no output")?;
    Ok(Running { child, output: BufReader::new(output) })
}

async fn finished(mut command: Command) -> Result<String, String> {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| "it does not end".to_owned())?.map_err(|fault| fault.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    // An answer of no stands in the answer; everything else that went wrong, beside it.
    let complaint = text(&output.stderr);
    Err(if complaint.is_empty() { text(&output.stdout) } else { complaint })
}

async fn complaint(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = tokio::time::timeout(Duration::from_secs(2), stderr.read_to_string(&mut text)).await;
    }
    text.trim().to_owned()
}
