//! The fields that the broker itself sets in a request to an upstream: who asks, from where, under which request.
//!
//! INVARIANT: they are set last, and [`Ours::stand_in`] says, before a request leaves, whether each of them is there exactly as
//! it was set and nothing that imitates one: what an upstream believes about who asks comes from the broker alone.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{claims::claims, headers::normalised};

/// A field.
type Field = (HeaderName, HeaderValue);

/// The fields that the broker sets. No name stands both in what is shared and in what is added.
#[derive(Clone, Debug, Default)]
pub struct Ours {
    /// What is the same for many requests.
    shared: Arc<Vec<Field>>,
    own: Vec<Field>,
}

impl Ours {
    /// None of its own yet, beside what is the same for many requests.
    pub fn beside(shared: Arc<Vec<Field>>) -> Self {
        Self { shared, own: Vec::new() }
    }

    /// Adds a field; one that may stand more than once is added more than once, one right after the other.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.own.push((name, value));
    }

    /// Adds the fields to `headers`, in which none of these names stands any more.
    pub fn set_in(&self, headers: &mut HeaderMap) {
        headers.reserve(self.shared.len() + self.own.len());
        for (name, value) in self.all() {
            headers.append(name, value.clone());
        }
    }

    /// Whether exactly the broker's fields stand in `headers`, last and in their order, and none that imitates one of them.
    pub fn stand_in(&self, headers: &HeaderMap) -> bool {
        let ours = self.shared.len() + self.own.len();
        let Some(others) = headers.len().checked_sub(ours) else { return false };
        let is_ours = |name: &HeaderName| self.all().any(|(ours, _)| ours == name);
        let mut standing = headers.iter();
        let others_imitate_none =
            standing.by_ref().take(others).all(|(name, _)| !claims(&normalised(name)) && !is_ours(name));
        others_imitate_none && standing.eq(self.all().map(|(name, value)| (name, value)))
    }

    /// Whether a field of that name is among them.
    pub fn has(&self, name: &str) -> bool {
        self.all().any(|(ours, _)| ours.as_str() == name)
    }

    fn all(&self) -> impl Iterator<Item = &Field> {
        self.shared.iter().chain(&self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        fields.iter().map(field).collect()
    }

    #[test]
    fn our_fields_are_set_last_and_missed_when_they_are_gone() {
        let mut ours = Ours::default();
        let user = HeaderName::from_static("impersonate-user");
        let group = HeaderName::from_static("impersonate-group");
        ours.add(user.clone(), HeaderValue::from_static("dev:ada"));
        ours.add(group.clone(), HeaderValue::from_static("dev:a"));
        ours.add(group, HeaderValue::from_static("dev:b"));
        let mut left_behind = map(&[("impersonate-user", "admin"), ("accept", "a")]);
        assert!(!ours.stand_in(&left_behind));
        ours.set_in(&mut left_behind);
        assert!(!ours.stand_in(&left_behind), "another's value before ours");
        let mut headers = map(&[("accept", "a")]);
        ours.set_in(&mut headers);
        assert!(ours.stand_in(&headers));
        headers.append("impersonate-uid", HeaderValue::from_static("x"));
        assert!(!ours.stand_in(&headers), "an imitation");
        headers.remove("impersonate-uid");
        headers.append(user.clone(), HeaderValue::from_static("admin"));
        assert!(!ours.stand_in(&headers), "a second value");
        headers.remove(user);
        assert!(!ours.stand_in(&headers), "none left");
    }

    #[test]
    fn what_is_shared_stands_as_what_is_added_does() {
        let field = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let groups = [field("bailiwick-groups", "a"), field("bailiwick-groups", "b")];
        let mut ours = Ours::beside(Arc::new(groups.to_vec()));
        let (request, id) = field("bailiwick-request", "1");
        ours.add(request, id);
        let standing = |fields: &[(&'static str, &'static str)]| ours.stand_in(&map(fields));
        let all = [("bailiwick-groups", "a"), ("bailiwick-groups", "b"), ("bailiwick-request", "1")];
        let [accept, via] = [("accept", "x"), ("via", "x")];
        assert!(standing(&all) && standing(&[accept, all[0], all[1], all[2]]));
        assert!(!standing(&[all[1], all[0], all[2]]), "another order");
        assert!(!standing(&all[1..]) && !standing(&all[..2]) && !standing(&[]), "one is missing");
        assert!(!standing(&[all[0], all[1], all[1], all[2]]), "one too many");
        assert!(!standing(&[all[2], all[0], all[1], all[2]]), "one too many");
        assert!(!standing(&[all[0], all[1], all[2], accept]), "something after them");
        assert!(!standing(&[via, all[0], all[1], all[2]]), "an imitation");
        let mut headers = map(&[accept]);
        ours.set_in(&mut headers);
        assert!(ours.stand_in(&headers));
        assert_eq!(headers.len(), 4);
    }
}
