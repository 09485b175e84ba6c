//! The people of the demonstration. Picking one is all the proof that its provider asks for.

/// Somebody to sign in as. The subject is how they are found here.
pub(super) struct Persona {
    /// How they are called.
    pub(super) name: &'static str,
    /// The groups that the provider vouches for.
    pub(super) groups: &'static [&'static str],
    /// What the list says about them.
    pub(super) about: &'static str,
}

/// Those on the list: subject and person.
pub(super) const LISTED: [(&str, Persona); 3] = [
    (
        "alice",
        Persona { name: "Alice", groups: &["devs"], about: "develops: reads, writes notes, sees namespace default" },
    ),
    (
        "olivia",
        Persona { name: "Olivia", groups: &["admins", "devs"], about: "administers: may do everything, reads the log" },
    ),
    ("mallory", Persona { name: "Mallory", groups: &[], about: "is in no group: gets in, and gets nowhere" }),
];

/// The software user of the tour. Each tour is somebody new (`tour-…`), because a first passkey can be registered only
/// once and the software authenticator forgets.
const TOUR: Persona = Persona { name: "Tour", groups: &["devs"], about: "the tour's software user" };

/// The persona with this subject.
pub(super) fn named(subject: &str) -> Option<&'static Persona> {
    let listed = LISTED.iter().find(|(name, _)| *name == subject).map(|(_, persona)| persona);
    listed.or_else(|| (subject == "tour" || subject.starts_with("tour-")).then_some(&TOUR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_on_the_list_and_tours_are_known() {
        assert_eq!(named("alice").unwrap().groups, ["devs"]);
        assert!(named("tour-1f").is_some() && named("root").is_none() && named("").is_none());
    }
}
