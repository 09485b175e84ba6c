//! Which entries: the same fields as in the address of the page, each as an option, or all of them as one query.

use clap::Args;

use super::super::CliFault;
use crate::audit::search::{Mistake, Search, decoded};

/// The fields of a search. What is given must all be met.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which entries")]
pub(super) struct Filters {
    /// Everything in one, as in the page's address: `verdict=deny&where=wiki`
    query: Option<String>,
    /// Who asked, or whom it was about: provider/subject, the id of a person, or words of a name
    #[arg(long)]
    who: Option<String>,
    /// What was done: a kind (sign-in), a method (GET), a verb and resource (`list pods`), a status (404, 5xx)
    #[arg(long)]
    what: Option<String>,
    /// Where: an app, a cluster, portal or broker; with steps of a path (wiki/docs) or a namespace (prod/default)
    #[arg(long = "where", value_name = "PLACE")]
    place: Option<String>,
    /// How it ended: allow, deny, step-up, refused or failed
    #[arg(long)]
    verdict: Option<String>,
    /// The id of a rule that decided
    #[arg(long)]
    rule: Option<String>,
    /// Where it came from: an address, or a network of /8 and smaller (IPv6: /32)
    #[arg(long)]
    address: Option<String>,
    /// The id of a credential that was presented, issued or revoked
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// The id of a login
    #[arg(long, value_name = "ID")]
    login: Option<String>,
    /// The id of a request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Recorded at this instant or later: as RFC 3339 has it (2026-11-21T23:15:07Z, 2026-11-22T00:15:07+01:00), or in UTC
    /// without a zone (2026-11-21T23:15, 2026-11-21)
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// Recorded before this instant, written in the same ways
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,
    /// Words that all occur in path, groups, rules, reasons or causes
    #[arg(long)]
    text: Option<String>,
}

impl Filters {
    /// The search that they make, or everything that is wrong with them.
    pub(super) fn search(&self) -> Result<Search, CliFault> {
        let options = [
            ("who", &self.who),
            ("what", &self.what),
            ("where", &self.place),
            ("verdict", &self.verdict),
            ("rule", &self.rule),
            ("address", &self.address),
            ("credential", &self.credential),
            ("login", &self.login),
            ("request", &self.request),
            ("from", &self.from),
            ("until", &self.until),
            ("text", &self.text),
        ];
        let query = decoded(self.query.as_deref().unwrap_or_default()).map_err(refused)?;
        let given = options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        Search::from_pairs(query.into_iter().chain(given)).map_err(refused)
    }
}

fn refused(mistakes: Vec<Mistake>) -> CliFault {
    let said: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    CliFault::could_not_look(said.join("; "))
}
