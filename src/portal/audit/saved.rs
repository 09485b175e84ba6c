//! Searches that people keep under a name, each their own. Keeping and forgetting one is asked for at the gate, and the
//! change and its entry, with what was before and after, are one transaction.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Form,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use sqlx::PgConnection;

use super::{Asked, Links, PersonId};
use crate::{
    audit::{ChangeFault, Draft, Event, search::Search},
    model::{Action, Caller, PortalAction, RequestId},
    portal::{
        Portal, PortalFault,
        caller::{SignedIn, Visitor},
        entry_words::visible,
        page::SavedWords,
    },
    store::{StoreFault, saved_search},
};

/// What the form sends.
#[derive(Deserialize)]
pub struct Kept {
    name: String,
    #[serde(default)]
    search: String,
    /// Whether it may take the place of one of that name.
    #[serde(default)]
    replace: Option<String>,
}

/// POST /audit/searches
pub async fn save(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    Form(kept): Form<Kept>,
) -> Result<Response, PortalFault> {
    let name = name(&kept.name)?;
    let asked = Asked::read(Some(&kept.search));
    let search = asked.search.map_err(|_| bad("This is no search that could be kept."))?;
    if search.to_query().len() > LONGEST_SEARCH {
        return Err(bad("This search is too long to be kept."));
    }
    let earlier = saved_search::of_person(&portal.pool, caller.person).await?;
    match earlier.iter().find(|(other, _)| *other == name) {
        None if earlier.len() >= MOST => {
            return Err(bad("So many searches are kept already: forget one of them first."));
        }
        Some((_, other)) if *other != search.to_query() && kept.replace.is_none() => {
            return Err(bad(
                "A search of this name is kept already. Take another name, or say that it is to be replaced.",
            ));
        }
        _ => {}
    }
    let action = PortalAction::SaveSearch { name: name.clone() };
    change(&portal, &caller, visit.request, action, Change { name, after: Some(search.to_query()) }).await?;
    Ok(Redirect::to(&Links::of(&search).before(None)).into_response())
}

/// POST /audit/searches/remove
pub async fn remove(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    Form(kept): Form<Kept>,
) -> Result<Response, PortalFault> {
    // One that was kept by another binary may have any name; it need not be a good one to go.
    let name = kept.name;
    if saved_search::of_person(&portal.pool, caller.person).await?.iter().all(|(other, _)| *other != name) {
        return Err(bad("No search of yours has this name, so none was forgotten."));
    }
    let action = PortalAction::RemoveSearch { name: name.clone() };
    change(&portal, &caller, visit.request, action, Change { name, after: None }).await?;
    Ok(Redirect::to("/audit").into_response())
}

/// A person's searches, for the page that `here` leads to.
pub async fn words(db: &mut PgConnection, person: PersonId, here: &Links) -> Result<Vec<SavedWords>, StoreFault> {
    let shown = here.query(None);
    let word = |(name, search): (String, String)| SavedWords {
        // A search of an older binary may have a field that is gone; its page then says so.
        href: Search::parse(&search)
            .map_or_else(|_| format!("/audit?{search}"), |search| Links::of(&search).before(None)),
        current: search == shown,
        name: visible(&name),
    };
    Ok(saved_search::of_person(db, person).await?.into_iter().map(word).collect())
}

#[derive(Clone)]
struct Change {
    name: String,
    after: Option<String>,
}

/// Asks, changes, records.
async fn change(
    portal: &Portal,
    caller: &Caller,
    request: RequestId,
    action: PortalAction,
    change: Change,
) -> Result<(), PortalFault> {
    let permit = portal.ask(caller, request, Action::Portal(action)).await?;
    let (caller, _, pending) = permit.spend();
    let now = portal.clock.now();
    let change = Arc::new((caller, change));
    let done = portal
        .log
        .append_within(move |db| {
            let change = Arc::clone(&change);
            Box::pin(async move {
                let (caller, Change { name, after }) = &*change;
                let before = match after {
                    Some(search) => saved_search::keep(db, caller.person, (name, search), now).await?,
                    None => saved_search::remove(db, caller.person, name).await?,
                };
                let changed = before != *after;
                let event = Event::SearchChanged { name: name.clone(), before, after: after.clone() };
                let draft = Draft { caller: Some(caller.into()), event, happened_at: now, request: Some(request) };
                Ok(((), if changed { vec![draft] } else { Vec::new() }))
            })
        })
        .await;
    let (status, result) = match done {
        // Nothing was changed, be it because it was so already.
        Ok(_) | Err(ChangeFault::Unneeded) => (303, Ok(())),
        Err(fault) => (503, Err(PortalFault::Unavailable(fault.to_string()))),
    };
    pending.answered(status);
    result
}

/// A name that can stand in a list: short, and nothing in it that hides.
fn name(typed: &str) -> Result<String, PortalFault> {
    let name = typed.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(hidden) = name.chars().find(|c| visible(&c.to_string()) != c.to_string()) {
        let (code, nth) = (u32::from(hidden), name.chars().take_while(|c| *c != hidden).count() + 1);
        return Err(bad(format!(
            "A name is a few words that can be seen. Character {nth} of this one is U+{code:04X}."
        )));
    }
    match name.chars().count() {
        0 => Err(bad("A name has at least one letter.")),
        1..=LONGEST_NAME => Ok(name),
        long => Err(bad(format!("A name has {LONGEST_NAME} characters at most; this one has {long}."))),
    }
}

fn bad(why: impl Into<Cow<'static, str>>) -> PortalFault {
    PortalFault::BadRequest(why.into())
}

const LONGEST_NAME: usize = 60;

/// In bytes, as in an address.
pub const LONGEST_SEARCH: usize = 4_000;

/// How many searches one person keeps at most.
const MOST: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_hides_nothing() {
        assert_eq!(name("  denials   today ").unwrap(), "denials today");
        for bad in ["", " ", "a\u{202e}b", "a\u{1b}[2J", &"x".repeat(61)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        let why = |typed: &str| match name(typed) {
            Err(PortalFault::BadRequest(why)) => why.into_owned(),
            other => panic!("{other:?}"),
        };
        assert!(why("ab\u{200b}c").ends_with("Character 3 of this one is U+200B."));
        assert!(why(&"x".repeat(61)).ends_with("this one has 61."));
    }
}
