//! What the portal's handlers work with, and the two questions that each of them asks first: may they, and what frame
//! does their page stand in.

use std::sync::Arc;

use sqlx::PgPool;
use tower_sessions::Session;

use super::{
    PortalFault,
    destination::Destination,
    entry_words::display,
    errands::Errands,
    error::Denied,
    pace::Pace,
    page::{Alarm, Frame, Link},
    words,
};
use crate::{
    access::{Gate, Permit, Standing},
    audit::{Log, Refusals, entry::summary},
    config::Settings,
    credential::{Credentials, Issuer},
    identity::{Callers, CommandLines, Handovers, Logins, Passkeys, Sessions},
    model::{Action, AssuranceLevel, Caller, Clock, Entropy, PortalAction, RequestId, Scope},
    shipping::{Lost, Shipping},
};

/// What the portal stands on. `app` makes it.
pub struct PortalState {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The database, for reading the log and what is one's own.
    pub pool: PgPool,
    /// May they?
    pub gate: Gate,
    /// What is refused before that question is asked.
    pub refusals: Refusals,
    /// The audit log, for changes that the portal makes itself.
    pub log: Log,
    /// How fast strangers may begin to sign in.
    pub pace: Pace,
    /// How fast they may come back from the provider.
    pub answer_pace: Pace,
    /// How fast strangers may read the log's tiles and checkpoints.
    pub tile_pace: Pace,
    /// Who is it?
    pub callers: Callers,
    /// Logins.
    pub logins: Logins,
    /// Passkeys.
    pub passkeys: Passkeys,
    /// Codes that carry a login to an app.
    pub handovers: Handovers,
    /// Codes and tokens of the command line.
    pub command_lines: CommandLines,
    /// Certificates.
    pub issuer: Issuer,
    /// What was issued, and revoking it.
    pub credentials: Credentials,
    /// The sessions' store.
    pub sessions: Sessions,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What goes on after its request was answered.
    pub errands: Errands,
    /// Checkpoints on their way out.
    pub shipping: Shipping,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// A handle on it.
pub type Portal = Arc<PortalState>;

impl PortalState {
    /// Asks the gate. The answer is in the log before this returns.
    pub async fn ask(&self, caller: &Caller, request: RequestId, action: Action) -> Result<Permit, PortalFault> {
        let asked = summary(&action);
        self.gate.ask(caller, request, action).await.map_err(|refusal| {
            Denied::or_else(refusal, |decision| Denied {
                asked,
                decision,
                person: display(&caller.identity),
                name: caller.identity.name.clone(),
                half: caller.assurance.level < AssuranceLevel::Passkey,
            })
        })
    }

    /// Asks the gate about something in the portal; if a fresh passkey is wanted first, `wanted` is where the person
    /// comes back to.
    pub async fn ask_on_the_way(
        &self,
        caller: &Caller,
        request: RequestId,
        action: PortalAction,
        (session, wanted): (&Session, &str),
    ) -> Result<Permit, PortalFault> {
        let answer = self.ask(caller, request, Action::Portal(action)).await;
        if let (Err(PortalFault::StepUp(_)), Some(wanted)) = (&answer, Destination::page(wanted)) {
            wanted.remember(session).await?;
        }
        answer
    }

    /// Whether the rules would let the holder of `permit` do something else as well; an app, with the session that the
    /// hand-over would give them. Nothing is recorded, and nothing comes of it but what a page offers.
    pub fn would_allow(&self, permit: &Permit, action: Action) -> bool {
        let mut standing = Standing::clone(&permit.standing());
        if let Action::Web(web) = &action {
            let scope = Scope::App { app: web.app.clone() };
            standing.caller = Caller { scope, ..standing.caller.to_value() }.into();
        }
        standing.action = action;
        self.gate.still_allows(&standing)
    }

    /// The frame of the page at `here` for the holder of `permit`: only links that lead somewhere, and what is wrong with
    /// the log and the rules for those who may know of it.
    pub fn frame(&self, permit: &Permit, here: &'static str) -> Frame {
        let offers =
            |(_, _, action): &(&str, &str, PortalAction)| self.would_allow(permit, Action::Portal(action.clone()));
        let links = LINKS.iter().filter(|link| link.0 == here || offers(link));
        let links = links.map(|&(href, label, _)| Link { href, label, current: href == here }).collect();
        let broken = self.gate.live().state().fault.is_some();
        let banner = (broken && self.would_allow(permit, Action::Portal(PortalAction::ReadPolicy))).then(|| {
            "The newest rules have a mistake and were not taken; the last good ones stay in force.".to_owned()
        });
        let mut alarms: Vec<Alarm> = gap_alarm(&self.shipping.lost()).into_iter().collect();
        alarms.extend(self.shipping.alarms().into_iter().map(Alarm::from));
        let unreadable = self.log.health().unreadable;
        // It speaks of entries that not everybody who reads the log may read.
        if unreadable > 0 && self.gate.reader(permit).may_see_totals() {
            let said = format!(
                "Entries of the audit log that are missing or not what was recorded, of those that readers came upon since \
                 this broker started: {unreadable}. Run bailiwick audit verify"
            );
            alarms.push(said.into());
        }
        if !alarms.is_empty() && !self.would_allow(permit, Action::Portal(PortalAction::ReadAudit { search: None })) {
            alarms.clear();
        }
        Frame { alarms, ..Frame::inside(&permit.caller().identity.name, links, banner) }
    }
}

/// What the log could not take, with the entries that tell of it.
fn gap_alarm(lost: &Lost) -> Option<Alarm> {
    let entries = words::entries(lost.entries);
    let (said, href) = match (lost.gaps, lost.last) {
        (0, _) => return None,
        (_, None) => (format!("The audit log could not take {entries} just now."), None),
        (1, Some(last)) => (format!("The audit log could not take {entries} on {}.", words::day(last)), Some(GAPS)),
        (gaps, Some(last)) => {
            let last = words::day(last);
            let said =
                format!("The audit log could not take {entries} in the last 7 days, {gaps} times, last on {last}.");
            (said, Some(GAPS))
        }
    };
    Some(Alarm { said, href })
}

/// Where the entries are that tell of gaps.
const GAPS: &str = "/audit?what=gap";

const LINKS: [(&str, &str, PortalAction); 4] = [
    ("/", "Home", PortalAction::Home),
    ("/sessions", "Sessions", PortalAction::ListSessions),
    ("/audit", "Audit log", PortalAction::ReadAudit { search: None }),
    ("/policy", "Rules", PortalAction::ReadPolicy),
];
