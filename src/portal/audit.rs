//! The audit log, newest first, made from the leaf bytes. Filters by caller and time; pages by leaf index, so that what
//! is appended meanwhile shifts nothing.

use axum::{
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use time::{PrimitiveDateTime, macros::format_description};
use tower_sessions::Session;
use url::form_urlencoded;

use super::{
    Portal, PortalFault,
    caller::{SignedIn, Visitor},
    entry_words::entry_words,
    page::{AuditPage, CheckpointWords, EntryWords, FilterWords, show},
    words,
};
use crate::{
    model::{PersonId, PortalAction, ProviderName, Timestamp},
    store::{
        self, checkpoint,
        entry::{self, Filter},
    },
};

/// What the filter's form and the links below the list send.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    caller: String,
    from: String,
    until: String,
    before: Option<u64>,
}

/// GET /audit
pub async fn page(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    Query(asked): Query<Asked>,
) -> Result<Response, PortalFault> {
    let here = "/audit";
    let permit = portal
        .ask_on_the_way(&caller, visit.request, PortalAction::ReadAudit { search: None }, (&session, here))
        .await?;
    let sealed = checkpoint::newest(&portal.pool).await?;
    let now = portal.clock.now();
    let (mut rows, fault) = match asked.filter(&portal).await? {
        Ok(filter) => (entry::newest(&portal.pool, &filter, PAGE + 1).await?, None),
        Err(fault) => (Vec::new(), Some(fault.to_owned())),
    };
    let more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let entries: Vec<EntryWords> = rows.iter().map(|(index, leaf)| entry_words(*index, leaf)).collect();
    let oldest = rows.last().map(|(index, _)| *index).filter(|_| more);
    let page = AuditPage {
        frame: portal.frame(&permit, here),
        checkpoint: sealed.map(|sealed| CheckpointWords {
            size: words::grouped(sealed.size),
            age: words::ago(now, sealed.signed_at),
        }),
        fault,
        entries,
        newest: asked.before.map(|_| asked.address(None)),
        older: oldest.map(|index| asked.address(Some(index))),
        filter: FilterWords { caller: asked.caller, from: asked.from, until: asked.until },
    };
    permit.spend().2.answered(200);
    Ok(show(StatusCode::OK, &page))
}

impl Asked {
    /// What the store is asked; or what is wrong with what was typed.
    async fn filter(&self, portal: &Portal) -> Result<Result<Filter, &'static str>, PortalFault> {
        let (Ok(from), Ok(until)) = (instant(&self.from), instant(&self.until)) else {
            return Ok(Err("A time is not one. Write it as 2026-11-21T23:15, in UTC."));
        };
        let person = match self.caller.trim() {
            "" => None,
            name => match known(portal, name).await? {
                Some(person) => Some(person),
                None => return Ok(Err("Nobody of this name has ever signed in. Write it as provider/subject.")),
            },
        };
        Ok(Ok(Filter { person, from, until, before: self.before }))
    }

    /// The address of the same list, before `leaf`.
    fn address(&self, leaf: Option<u64>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let typed = [("caller", &self.caller), ("from", &self.from), ("until", &self.until)];
        for (name, value) in typed.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        if let Some(leaf) = leaf {
            query.append_pair("before", &leaf.to_string());
        }
        let query = query.finish();
        if query.is_empty() { "/audit".to_owned() } else { format!("/audit?{query}") }
    }
}

/// The person whom pages call `provider/subject`.
async fn known(portal: &Portal, name: &str) -> Result<Option<PersonId>, PortalFault> {
    let Some((provider, subject)) = name.split_once('/') else { return Ok(None) };
    let Ok(provider) = provider.parse::<ProviderName>() else { return Ok(None) };
    Ok(store::person::named(&portal.pool, &provider, subject).await?)
}

/// What an `<input type="datetime-local">` sends, with or without seconds; nothing typed is no limit.
fn instant(typed: &str) -> Result<Option<Timestamp>, ()> {
    let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let seconds = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    if typed.is_empty() {
        return Ok(None);
    }
    let read = PrimitiveDateTime::parse(typed, minutes).or_else(|_| PrimitiveDateTime::parse(typed, seconds));
    read.map(|at| Some(Timestamp::from_datetime(at.assume_utc()))).map_err(|_| ())
}

const PAGE: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_sends_as_a_time_is_read_as_utc() {
        assert_eq!(instant(""), Ok(None));
        let at = Some(Timestamp::from_micros(1_795_261_500_000_000));
        assert_eq!((instant("2026-11-21T11:45"), instant("2026-11-21T11:45:00")), (Ok(at), Ok(at)));
        assert_eq!(instant("yesterday"), Err(()));
    }

    #[test]
    fn the_next_page_keeps_the_filter() {
        let asked = Asked { caller: "corp/ada b".to_owned(), ..Asked::default() };
        assert_eq!(asked.address(Some(7)), "/audit?caller=corp%2Fada+b&before=7");
        assert_eq!(Asked::default().address(None), "/audit");
    }
}
