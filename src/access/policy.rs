//! The rules in force: parsed, checked strictly against the schema, and named by the hashes of their texts.
//!
//! INVARIANT: what is decided under is built from the very texts that are hashed and stored, so that a replay builds the
//! same. Reading files is `source`'s work, finding what is wrong with them `check`'s; swapping is `live`'s.

use std::{
    collections::{BTreeMap, HashSet},
    str::FromStr as _,
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use cedar_policy::{Entities, Entity, EntityUid, PolicyId, PolicySet, Schema};
use serde::Deserialize;

use super::{
    AccessFault,
    check::mistakes,
    remembered::Remembered,
    request::{Question, uid},
    schema,
    slice::{Slice, Slices},
    source::Sources,
};
use crate::{audit::Common, model::PolicyVersion};

/// A set of rules with the groups and the schema that belong to it.
#[derive(Debug)]
pub struct Rules {
    /// All of them, with the groups and actions: what does not change from request to request.
    whole: Arc<Slice>,
    slices: Slices,
    remembered: Remembered,
    schema: Schema,
    reasons: BTreeMap<String, String>,
    texts: Texts,
    version: Common<PolicyVersion>,
}

/// The texts that rules are built from, as they are hashed and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// All policy files, in the order of their names, each after a comment with its name.
    pub policies: String,
    /// The entities file.
    pub entities: String,
    /// The schema.
    pub schema: String,
}

impl Rules {
    /// Reads what an administrator wrote; says everything that is wrong at once.
    pub fn read(sources: &Sources) -> Result<Self, AccessFault> {
        let schema = schema::parse(schema::TEXT)?;
        let found = mistakes(sources, &schema);
        if found.is_empty() { Self::from_texts(sources.texts()) } else { Err(AccessFault::Rules(found)) }
    }

    /// Builds rules from stored texts. Trusts that they were checked when they were stored.
    pub fn from_texts(texts: Texts) -> Result<Self, AccessFault> {
        let schema = schema::parse(&texts.schema)?;
        let parsed = PolicySet::from_str(&texts.policies).map_err(|fault| unreadable("policies", &fault))?;
        let mut set = PolicySet::new();
        let mut reasons = BTreeMap::new();
        for policy in parsed.policies() {
            let id = policy.annotation("id").unwrap_or_default().to_owned();
            if let Some(reason) = policy.annotation("reason") {
                reasons.insert(id.clone(), reason.to_owned());
            }
            set.add(policy.new_id(PolicyId::new(id))).map_err(|fault| unreadable("policies", &fault))?;
        }
        let entities = groups(&texts.entities, &schema).map_err(|fault| unreadable("entities", &fault))?;
        let version = Common::from(PolicyVersion {
            entities: sha256(&texts.entities),
            policies: sha256(&texts.policies),
            schema: sha256(&texts.schema),
        });
        let slices = Slices::of(&set);
        let whole = Arc::new(Slice::whole(set, entities));
        Ok(Self { whole, slices, remembered: Remembered::default(), schema, reasons, texts, version })
    }

    /// The hashes of the three texts.
    pub fn version(&self) -> &Common<PolicyVersion> {
        &self.version
    }

    /// The three texts.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// How many rules there are.
    pub fn count(&self) -> usize {
        self.whole.set.num_of_policies()
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// All rules, all groups, all actions.
    pub(super) fn whole(&self) -> Arc<Slice> {
        Arc::clone(&self.whole)
    }

    /// The rules whose scopes match `question`, asked by somebody who is in `groups` and no others.
    pub(super) fn slice(&self, question: &Question, groups: &[EntityUid]) -> Arc<Slice> {
        self.slices.slice(question, groups, &self.whole.entities)
    }

    /// `groups`, and every group that they are in.
    pub(super) fn closure(&self, groups: &[EntityUid]) -> Vec<EntityUid> {
        let above = groups.iter().filter_map(|group| self.whole.entities.ancestors(group)).flatten();
        let all: HashSet<&EntityUid> = groups.iter().chain(above).collect();
        all.into_iter().cloned().collect()
    }

    /// Decisions that were made under these rules.
    pub(super) fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// What these rules tell the person whom they stop.
    pub(super) fn reasons(&self, policies: &[String]) -> Vec<String> {
        policies.iter().filter_map(|id| self.reasons.get(id).cloned()).collect()
    }
}

/// SHA-256 in lower-case hex.
pub(super) fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

fn unreadable(what: &str, fault: &dyn std::fmt::Display) -> AccessFault {
    AccessFault::Unreadable(format!("{what}: {fault}"))
}

/// One member of the entities file: Cedar's own JSON form, of groups alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupEntry {
    pub(super) uid: GroupName,
    #[serde(default)]
    #[expect(dead_code, reason = "part of Cedar's form; a group has no attributes")]
    attrs: NoAttributes,
    #[serde(default)]
    parents: Vec<GroupName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupName {
    #[serde(rename = "type")]
    #[expect(dead_code, reason = "can only be Group")]
    kind: GroupKind,
    pub(super) id: String,
}

#[derive(Deserialize)]
enum GroupKind {
    Group,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoAttributes {}

/// The groups of an entities file together with the schema's actions.
pub(super) fn groups(text: &str, schema: &Schema) -> Result<Entities, Box<dyn std::error::Error + Send + Sync>> {
    let listed: Vec<GroupEntry> = serde_json::from_str(text)?;
    let name = |group: &GroupName| uid("Group", &group.id).map_err(|_| "the schema has no groups");
    let mut entities = Vec::with_capacity(listed.len());
    let mut seen = HashSet::new();
    for entry in &listed {
        if !seen.insert(&entry.uid.id) {
            return Err(format!("the group `{}` is listed twice", entry.uid.id).into());
        }
        let parents = entry.parents.iter().map(name).collect::<Result<HashSet<_>, _>>()?;
        entities.push(Entity::new_no_attrs(name(&entry.uid)?, parents));
    }
    Entities::from_entities(entities, Some(schema)).map_err(|fault| {
        let deepest = std::iter::successors(Some(&fault as &dyn std::error::Error), |fault| fault.source()).last();
        deepest.map_or_else(|| fault.to_string(), ToString::to_string).into()
    })
}
