//! The demonstration: everything that the product needs around it, private, on loopback, started and stopped together.
//!
//! A Postgres of its own, a development provider, a small wiki, rules to edit, and a tour that walks the main job as a
//! software user. Only `cli::demo` may import it, and nothing that it starts can be reached from `serve`.

mod app;
mod authenticator;
mod broker;
mod browser;
mod errand;
mod fault;
mod files;
mod page;
mod personas;
mod postgres;
mod provider;
mod state;
mod tour;

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use tokio::task::JoinSet;
use url::Url;

pub use self::fault::DemoFault;
use self::{broker::Broker, errand::Errand, postgres::Postgres, state::State, tour::Tour};
use crate::{
    config::client as environment,
    model::{Clock, Entropy},
};

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is kept.
    pub folder: PathBuf,
    /// A real cluster to put behind the broker.
    pub cluster: Option<Cluster>,
    /// Where Postgres's programs are, if not where they are looked for.
    pub postgres_programs: Option<PathBuf>,
    /// Where kubectl is, if not on the path.
    pub kubectl: Option<PathBuf>,
    /// What to do after the start.
    pub then: Then,
}

/// A cluster, and with what it is reached.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// A kubeconfig.
    pub kubeconfig: PathBuf,
    /// One of its contexts; none: its current one.
    pub context: Option<String>,
}

/// What to do after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The tour, and stay.
    TourAndStay,
    /// The tour, and stop.
    TourAndStop,
    /// Stay.
    Stay,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Sound,
    /// A step of the tour did not do what it should, and nobody stayed to see.
    Broken,
}

/// Something to tell whoever looks on.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// What comes now.
    Heading(&'a str),
    /// A step did what it should.
    Passed {
        /// The step.
        what: &'a str,
        /// What there is to know about it.
        fact: &'a str,
    },
    /// A step did not.
    Failed {
        /// The step.
        what: &'a str,
        /// What happened instead.
        why: &'a str,
    },
    /// A thing and where it is.
    Place {
        /// The thing.
        what: &'a str,
        /// Where it is, or what to type.
        place: &'a str,
    },
    /// A remark.
    Remark(&'a str),
}

/// Tells.
pub type Say<'a> = dyn Fn(Line<'_>) + Send + Sync + 'a;

/// Runs the demonstration until the tour is over or `stop` says so, and stops all that it started.
pub async fn run(
    options: &Options,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    stop: impl Future<Output = ()>,
    say: &Say<'_>,
) -> Result<Outcome, DemoFault> {
    let demonstration = Demonstration { options, clock, entropy, say };
    let state = State::open(&options.folder, demonstration.entropy.as_ref())?;
    say(Line::Heading("Starting"));
    let programs = options.postgres_programs.as_deref();
    let mut postgres = Postgres::start(&state.folder, programs, demonstration.entropy.as_ref()).await?;
    say(Line::Place { what: "Postgres", place: "its own, on a socket below the folder" });
    let addresses = (postgres.address(postgres::BROKER), postgres.address(postgres::AUDITOR));
    let outcome = tokio::select! {
        outcome = demonstration.run(&state, addresses, stop) => outcome,
        fault = postgres.ended() => Err(fault),
    };
    postgres.stop().await;
    outcome
}

struct Demonstration<'a> {
    options: &'a Options,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    say: &'a Say<'a>,
}

impl Demonstration<'_> {
    async fn run(
        &self,
        state: &State,
        (database, auditor): (String, String),
        stop: impl Future<Output = ()>,
    ) -> Result<Outcome, DemoFault> {
        let kubectl = self.kubectl()?;
        let mut servers = JoinSet::new();
        self.start_provider(state, &mut servers)?;
        servers.spawn(app::serve(state.listener(state.ports.wiki)?));

        state.write_certificate(self.clock.as_ref())?;
        let cluster = self.options.cluster.as_ref();
        let configuration = state.write_configuration(&database, &auditor, cluster)?;
        let program = environment::this_program().map_err(|source| DemoFault::file("find", Path::new("/"), source))?;
        let kubeconfig = cluster.map(|_| state.write_kubeconfig(&program)).transpose()?;
        state.let_go();
        let broker = Broker::start(&configuration, Arc::clone(&self.clock), Arc::clone(&self.entropy)).await?;
        (self.say)(Line::Place { what: "Broker", place: &state.portal() });
        state.write_summary(&auditor, &broker.verifier, kubeconfig.as_deref())?;

        let errand = Errand { program: program.clone(), kubectl, home: state.at("tour") };
        let mut stop = pin!(stop);
        let outcome = tokio::select! {
            outcome = self.walk(state, auditor, broker.verifier.clone(), errand) => Some(outcome),
            () = &mut stop => None,
        };
        if outcome.is_some() && self.options.then != Then::TourAndStop {
            self.tell_what_next(state, &program, kubeconfig.as_deref(), &broker.verifier);
            stop.await;
        }
        (self.say)(Line::Heading("Stopping"));
        broker.stop().await;
        outcome.unwrap_or(Ok(Outcome::Sound))
    }

    fn start_provider(&self, state: &State, servers: &mut JoinSet<Result<(), DemoFault>>) -> Result<(), DemoFault> {
        let listener = state.listener(state.ports.provider)?;
        let portal = Url::parse(&state.portal()).map_err(|_| DemoFault::Crypto)?;
        let redirect = portal.join("/sign-in/callback").map_err(|_| DemoFault::Crypto)?;
        let secret = files::read(&state.at("provider.secret"))?;
        let client = provider::Client { id: "bailiwick".to_owned(), secret, redirect, home: portal };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, state.ports.provider));
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let provider = provider::Provider::new(address, client, clock, entropy)?;
        servers.spawn(provider.serve(listener));
        Ok(())
    }

    async fn walk(
        &self,
        state: &State,
        auditor: String,
        verifier: String,
        errand: Errand,
    ) -> Result<Outcome, DemoFault> {
        if self.options.then == Then::Stay {
            return Ok(Outcome::Sound);
        }
        (self.say)(Line::Heading("The tour: a software user walks the whole way"));
        files::make_folder(&errand.home)?;
        let parsed = |text: &str| Url::parse(text).map_err(|_| DemoFault::Crypto);
        let tour = Tour {
            portal: parsed(&state.portal())?,
            wiki: parsed(&state.wiki())?,
            subject: format!("tour-{}", hex::encode(self.entropy.bytes::<4>())),
            errand,
            auditor,
            verifier,
            cluster: self.options.cluster.as_ref().map(|_| state::CLUSTER),
            say: self.say,
        };
        Ok(if tour.walk().await { Outcome::Sound } else { Outcome::Broken })
    }

    fn kubectl(&self) -> Result<Option<PathBuf>, DemoFault> {
        if self.options.cluster.is_none() || self.options.then == Then::Stay {
            return Ok(None);
        }
        let found = self.options.kubectl.clone().or_else(|| environment::on_path("kubectl"));
        found.map(Some).ok_or(DemoFault::NoKubectl)
    }

    fn tell_what_next(&self, state: &State, program: &Path, kubeconfig: Option<&Path>, verifier: &str) {
        let place = |what, place: &str| (self.say)(Line::Place { what, place });
        let program = program.display();
        let configuration = state.at("bailiwick.toml");
        (self.say)(Line::Heading("Open"));
        place("The portal", &format!("{}   choose alice, and register a passkey", state.portal()));
        place("The wiki", &format!("{}   look at /admin as alice, and as olivia", state.wiki()));
        place(
            "The rules",
            &format!("{}   edit one; a second later requests are judged by it", state.at("policies").display()),
        );
        (self.say)(Line::Heading("Type"));
        place("Log in", &format!("{program} login --portal {}", state.portal()));
        if let Some(kubeconfig) = kubeconfig {
            place("Kubernetes", &format!("KUBECONFIG={} kubectl get pods", kubeconfig.display()));
        }
        place("The log", &format!("{program} audit verify --config {} --key {verifier}", configuration.display()));
        (self.say)(Line::Remark(&format!("For scripts: {}", state.at("demo.json").display())));
        (self.say)(Line::Remark("Ctrl-C stops all of it."));
    }
}
