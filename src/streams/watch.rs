//! The one task that watches what streams hang on: the feed, the rules, the log, and the time limits of logins.
//! INVARIANT: nothing in its loop waits for a database; the feed's own staleness is looked at every fifth of a second.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        watch,
    },
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Cause, Held, Streams, cause};
use crate::{
    model::{LoginId, StreamId},
    store::{StoreFault, feed::Revoked, login::live_among},
};

impl Streams {
    /// Watches until it is aborted.
    pub(super) async fn watch(self, mut news: Receiver<Revoked>, mut rules: watch::Receiver<()>) {
        let watched = &self.0.watched;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut limits = tokio::spawn(self.clone().watch_limits());
        let _stop_with_us = AbortOnDrop(limits.abort_handle());
        let mut log_up = Instant::now();
        let mut rules_asked = Instant::now();
        loop {
            tokio::select! {
                revoked = news.recv() => match revoked {
                    Ok(revoked) => self.close_where(|held| held.hangs_on(&revoked)),
                    Err(RecvError::Lagged(_)) => self.close_where(|held| self.ended_lately(held)),
                    Err(RecvError::Closed) => return self.close_where(|_| Some(Cause::FeedStale)),
                },
                // Without it nothing that expires would close.
                _ = &mut limits => return self.close_where(|_| Some(Cause::Stopping)),
                Ok(()) = rules.changed() => self.ask_again(),
                _ = tick.tick() => {
                    if watched.log.alive() {
                        log_up = Instant::now();
                    }
                    if let Some(cause) = self.outage(log_up) {
                        self.close_where(|_| Some(cause.clone()));
                    }
                    // Rules may read the time.
                    if rules_asked.elapsed() >= ASK_AGAIN {
                        rules_asked = Instant::now();
                        self.ask_again();
                    }
                }
            }
        }
    }

    /// Why a stream may not even begin, or go on.
    pub(super) fn fault_of(&self, held: &Held) -> Option<Cause> {
        let allowed = || self.0.watched.gate.still_allows(&held.standing);
        self.ended_lately(held)
            .or_else(|| self.outage(Instant::now()))
            .or_else(|| (!allowed()).then_some(Cause::RuleChanged))
    }

    fn ended_lately(&self, held: &Held) -> Option<Cause> {
        let targets = cause::targets(&held.standing.caller);
        targets.iter().find_map(|(_, target)| held.hangs_on(&self.0.watched.feed.recent(*target)?))
    }

    /// What closes every stream: nobody could tell any more that one should end.
    fn outage(&self, log_up: Instant) -> Option<Cause> {
        if self.0.watched.feed.freshness().is_err() {
            return Some(Cause::FeedStale);
        }
        // A database that is away for a moment has not lost anything; a log that was changed behind our back has.
        let broken = self.0.watched.log.is_broken();
        (broken || log_up.elapsed() >= LOG_PATIENCE).then_some(Cause::LogDead)
    }

    /// Asks the rules about every stream, without holding the registry meanwhile.
    fn ask_again(&self) {
        let open: Vec<_> = self.held().iter().map(|(id, held)| (*id, Arc::clone(&held.standing))).collect();
        let gate = &self.0.watched.gate;
        let denied = open.into_iter().filter(|(_, standing)| !gate.still_allows(standing)).map(|(id, _)| id);
        let denied: HashSet<StreamId> = denied.collect();
        if !denied.is_empty() {
            self.close_where(|held| denied.contains(&held.id).then_some(Cause::RuleChanged));
        }
    }

    /// Closes streams whose logins have reached a time limit, which nobody announces. A database that does not answer
    /// is the feed's affair.
    async fn watch_limits(self) {
        let mut tick = interval(LIMITS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(fault) = self.close_expired().await {
                tracing::warn!(%fault, "the time limits of open streams could not be read");
            }
        }
    }

    async fn close_expired(&self) -> Result<(), StoreFault> {
        let logins: HashSet<LoginId> = self.held().values().map(|held| held.standing.caller.login).collect();
        if logins.is_empty() {
            return Ok(());
        }
        let now = self.0.clock.now();
        let active_after = now.minus(self.0.watched.idle);
        let logins: Vec<LoginId> = logins.into_iter().collect();
        let live = live_among(&self.0.watched.pool, &logins, active_after, now).await?;
        let ended: HashSet<LoginId> = logins.into_iter().filter(|login| !live.contains(login)).collect();
        self.close_where(|held| ended.contains(&held.standing.caller.login).then_some(Cause::Expired));
        Ok(())
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const TICK: Duration = Duration::from_millis(200);
const ASK_AGAIN: Duration = Duration::from_secs(30);
const LIMITS: Duration = Duration::from_secs(5);
const LOG_PATIENCE: Duration = Duration::from_secs(3);
