//! `bailiwick kube`: a context for kubectl, and the credentials that kubectl asks for behind it.

use std::{path::PathBuf, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};

use super::{
    CliFault, Ending,
    api::{Api, Cluster},
    client::{ClientFault, HeldLogin, Home, portal_address},
    kube_credential::{self, Wanted},
    kubeconfig::{self, Current, Entry},
    output::{changed, say},
};
use crate::{
    config::client as environment,
    model::{Clock, Reach, SystemClock},
};

/// `bailiwick kube …`
#[derive(Debug, Subcommand)]
pub(super) enum Kube {
    /// Put a context for a cluster into your kubeconfig; it holds no secret
    #[command(
        after_help = "Examples:\n  bailiwick kube login prod\n  bailiwick kube login prod --read-only --namespace \
                            web --name prod-web\n  kubectl get pods"
    )]
    Login {
        /// What the context is for
        #[command(flatten)]
        scope: Scope,
        /// The kubeconfig to change; that of kubectl if it is left out
        #[arg(long, value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
        /// How to call the context; bailiwick-CLUSTER if it is left out
        #[arg(long)]
        name: Option<String>,
        /// Leave the current context as it is
        #[arg(long)]
        keep_context: bool,
    },
    /// Answer kubectl's question for a credential; kubectl runs this
    #[command(after_help = "Example:\n  bailiwick kube credential prod")]
    Credential {
        /// What it is for
        #[command(flatten)]
        scope: Scope,
    },
}

/// A cluster, and how little of it is wanted.
#[derive(Debug, Args)]
pub(super) struct Scope {
    /// The cluster
    cluster: String,
    /// The portal; the one of the last login if it is left out
    #[arg(long, value_name = "URL")]
    portal: Option<String>,
    /// Only this namespace; may be given several times
    #[arg(long = "namespace", short, value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Only reading
    #[arg(long)]
    read_only: bool,
    /// Certificates that last no longer than this, as 30m
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    lifetime: Option<Duration>,
}

impl Kube {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        match self {
            Self::Login { scope, kubeconfig, name, keep_context } => {
                let current = if keep_context { Current::Keep } else { Current::Set };
                login(scope, kubeconfig, name, current).await?;
            }
            Self::Credential { scope } => credential(scope, &SystemClock).await?,
        }
        Ok(Ending::Yes)
    }
}

async fn login(
    scope: Scope,
    kubeconfig: Option<PathBuf>,
    name: Option<String>,
    current: Current,
) -> Result<(), ClientFault> {
    let login = scope.login()?;
    let clusters = Api::of(&login)?.clusters().await?;
    let cluster = clusters.iter().find(|cluster| cluster.name == scope.cluster).ok_or_else(|| {
        let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let known = if names.is_empty() { String::new() } else { format!("; it knows {}", names.join(", ")) };
        ClientFault::NoCluster { portal: login.portal.clone(), cluster: scope.cluster.clone(), known }
    })?;
    let path = kubeconfig.or_else(environment::kubeconfig).ok_or(ClientFault::Homeless)?;
    let name = name.unwrap_or_else(|| format!("bailiwick-{}", scope.cluster));
    let entry = scope.entry(name, &login, cluster)?;
    kubeconfig::merge_into(&path, &entry, current)?;
    changed(format_args!("the context {} is in {}", entry.name, path.display()));
    say(format_args!("Wrote the context {} to {}. It holds no secret.", entry.name, path.display()));
    match current {
        Current::Set => say("Next: kubectl get pods"),
        Current::Keep => say(format_args!("Next: kubectl --context {} get pods", entry.name)),
    }
    Ok(())
}

async fn credential(scope: Scope, clock: &dyn Clock) -> Result<(), ClientFault> {
    kube_credential::check_asked_version(environment::exec_info().as_deref())?;
    let login = scope.login()?;
    let wanted = scope.wanted();
    let issue = async |question| Api::of(&login)?.certificate(&wanted.cluster, question).await;
    let answer = kube_credential::answer(&Home::of_user()?, &login, &wanted, clock, issue).await?;
    say(answer);
    Ok(())
}

impl Scope {
    fn login(&self) -> Result<HeldLogin, ClientFault> {
        Home::of_user()?.login(self.portal.as_deref().map(portal_address).transpose()?.as_ref())
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            cluster: self.cluster.clone(),
            namespaces: self.namespaces.clone(),
            reach: if self.read_only { Reach::ReadOnly } else { Reach::Full },
            lifetime: self.lifetime,
        }
    }

    fn entry(&self, name: String, login: &HeldLogin, cluster: &Cluster) -> Result<Entry, ClientFault> {
        let program = environment::this_program()
            .map_err(|fault| ClientFault::Other(format!("this program does not know where it is: {fault}")))?;
        let mut arguments: Vec<String> =
            ["kube", "credential", &self.cluster, "--portal", &login.portal].map(str::to_owned).to_vec();
        for namespace in &self.namespaces {
            arguments.extend(["--namespace".to_owned(), namespace.clone()]);
        }
        if self.read_only {
            arguments.push("--read-only".to_owned());
        }
        if let Some(lifetime) = self.lifetime {
            arguments
                .extend(["--lifetime".to_owned(), humantime::format_duration(lifetime).to_string().replace(' ', "")]);
        }
        let home = environment::chosen_home().map(|home| ("BAILIWICK_HOME".to_owned(), home));
        Ok(Entry {
            name,
            server: cluster.server.clone(),
            server_name: cluster.tls_server_name.clone(),
            authority: cluster.certificate_authority.as_ref().map(|pem| BASE64_STANDARD.encode(pem)),
            namespace: match self.namespaces.as_slice() {
                [only] => Some(only.clone()),
                _ => None,
            },
            program: program.display().to_string(),
            arguments,
            environment: home.into_iter().collect(),
        })
    }
}
