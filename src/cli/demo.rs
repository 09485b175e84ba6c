//! `bailiwick demo`: the whole product on one machine, with nothing prepared. The only door to `crate::demo`.

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{
    CliFault, Ending,
    output::{Paint, paint, say},
    serve::told_to_stop,
};
use crate::{
    demo::{self, Cluster, Line, Options, Outcome, Then},
    model::{SystemClock, SystemEntropy},
};

/// Try everything on this machine: a database, a provider, an app, rules to edit, and a tour.
///
/// Everything is kept in one folder and used again by the next start. Nothing else is touched, and Ctrl-C stops all
/// that was started.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bailiwick demo\n  bailiwick demo --once\n  bailiwick demo --kubeconfig \
                        ~/.kube/config --context my-cluster")]
pub(super) struct Demo {
    /// Where to keep everything
    #[arg(long, value_name = "FOLDER", default_value = ".demo")]
    dir: PathBuf,
    /// Put a real cluster behind it: a kubeconfig that reaches it
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of that kubeconfig; its current one if it is left out
    #[arg(long, requires = "kubeconfig")]
    context: Option<String>,
    /// Where Postgres's programs are, if not where they are looked for
    #[arg(long, value_name = "FOLDER")]
    postgres_bin: Option<PathBuf>,
    /// Where kubectl is, if not on the path
    #[arg(long, value_name = "FILE")]
    kubectl: Option<PathBuf>,
    /// End after the tour: 0 only if every step did what it should
    #[arg(long, conflicts_with = "no_tour")]
    once: bool,
    /// Leave the tour out
    #[arg(long)]
    no_tour: bool,
}

impl Demo {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let options = self.options()?;
        start_log(&options)?;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        // Listened for from the very beginning, so that what has been started by then is stopped.
        let told = tokio::spawn(told_to_stop());
        let stop = async { drop(told.await) };
        match demo::run(&options, clock, entropy, stop, &tell).await.map_err(CliFault::failed)? {
            Outcome::Sound => Ok(Ending::Yes),
            Outcome::Broken => Ok(Ending::No),
        }
    }

    fn options(self) -> Result<Options, CliFault> {
        let cluster = self.kubeconfig.map(|path| {
            let found = path.canonicalize();
            let kubeconfig = found.map_err(|fault| CliFault::failed(format!("{}: {fault}", path.display())))?;
            Ok::<_, CliFault>(Cluster { kubeconfig, context: self.context })
        });
        Ok(Options {
            folder: self.dir,
            cluster: cluster.transpose()?,
            postgres_programs: self.postgres_bin,
            kubectl: self.kubectl,
            then: match (self.once, self.no_tour) {
                (true, _) => Then::TourAndStop,
                (false, true) => Then::Stay,
                (false, false) => Then::TourAndStay,
            },
        })
    }
}

fn tell(line: Line<'_>) {
    match line {
        Line::Heading(text) => say(format_args!("\n{text}")),
        Line::Passed { what, fact } => {
            say(format_args!("  {} {what}\n      {}", paint(Paint::Green, "✓"), paint(Paint::Dim, fact)));
        }
        Line::Failed { what, why } => {
            say(format_args!("  {} {what}\n      {}", paint(Paint::Red, "✗"), why.replace('\n', "\n      ")));
        }
        Line::Place { what, place } => say(format_args!("  {what:<12} {place}")),
        Line::Remark(text) => say(format_args!("\n{text}")),
    }
}

/// The broker's own log goes into the folder, so that the tour can be read.
fn start_log(options: &Options) -> Result<(), CliFault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&options.folder);
    made.map_err(|fault| CliFault::failed(format!("{}: {fault}", options.folder.display())))?;
    let path = options.folder.join("broker.log");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.map_err(|fault| CliFault::failed(format!("{}: {fault}", path.display())))?;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_writer(std::sync::Mutex::new(file))
        .with_ansi(false)
        .init();
    Ok(())
}
