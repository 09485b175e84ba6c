//! The fields that entries share: the entry's own, and those of the caller.

use super::table::{
    Field,
    Form::{Address, Hex, Id, Moment, Text, Texts, Word},
    field,
};

/// Beside the event.
pub const ENTRY: &[Field] = &[
    field("broker", Id, "the broker process that wrote it", "metadata.log_provider"),
    field("happened_at", Moment, "when it happened, by the broker's clock", "time"),
    field(
        "recorded_at",
        Moment,
        "when its batch was recorded; never earlier than the batch before",
        "metadata.logged_time",
    ),
    field(
        "request",
        Id,
        "the request that it belongs to; the same in all entries of one request",
        "metadata.correlation_uid",
    ),
    field("salt", Hex, "128 random bits, so that the public leaf hash cannot be guessed", ""),
];

/// Below `caller`, where a person is known.
pub const CALLER: &[Field] = &[
    field("person", Id, "the person's row", "actor.user.uid"),
    field("identity.provider", Text, "the provider's name in the configuration", "actor.user.domain, actor.idp.name"),
    field("identity.issuer", Text, "the provider's issuer identifier", "actor.session.issuer"),
    field(
        "identity.subject",
        Text,
        "the subject within that issuer; with it the key of the person",
        "actor.user.uid_alt",
    ),
    field("identity.name", Text, "the name to show; people may choose it", "actor.user.full_name"),
    field("groups", Texts, "the groups that the provider named at sign-in", "actor.user.groups[].name"),
    field("login", Id, "the login that everything hangs on", "actor.session.uid"),
    field("presented.kind", Word, "session, app-session, certificate or token", "unmapped.presented"),
    field("presented.id", Id, "the app session's or credential's row", "actor.session.credential_uid"),
    field("scope.kind", Word, "what was presented reaches: portal, app or cluster", "unmapped.scope.kind"),
    field("scope.app", Text, "which app", "unmapped.scope.app"),
    field("scope.cluster", Text, "which cluster", "unmapped.scope.cluster"),
    field("scope.namespaces", Texts, "only these namespaces; none listed means all", "unmapped.scope.namespaces"),
    field("scope.reach", Word, "read-only or full", "unmapped.scope.reach"),
    field("assurance.level", Word, "provider (half a login) or passkey", "unmapped.assurance"),
    field("assurance.at", Moment, "when the person last proved themselves so", "unmapped.assured_at"),
    field("acr", Text, "the provider's authentication context class", "unmapped.acr"),
    field("address", Address, "where the request came from, after listed proxies", "src_endpoint.ip"),
];
