//! What is wrong with rules before they are taken: everything at once, each with file, line and column.
//!
//! INVARIANT: a rule that could fail when it is evaluated does not pass (strict validation), and neither does one that
//! could quietly never match: Cedar would skip the one and ignore the other, and a forbid must be neither.

use std::{collections::HashMap, fmt, str::FromStr as _, sync::Arc};

use cedar_policy::{EntityUid, Policy, PolicySet, Schema, ValidationMode, Validator};
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::{
    policy::{GroupEntry, groups},
    source::{SourceFile, Sources},
};
use crate::model::{AppName, CanonicalPath, ClusterName, ProviderName};

/// Something wrong in a file. Prints as `file:line:column: what`; as a diagnostic, with the line underlined.
#[derive(Clone, Debug)]
pub struct Mistake {
    file: String,
    what: String,
    help: Option<String>,
    place: Option<Place>,
}

#[derive(Clone, Debug)]
struct Place {
    source: Arc<NamedSource<String>>,
    /// In bytes.
    offset: usize,
    length: usize,
    line: usize,
    column: usize,
}

impl Mistake {
    /// About a whole file or folder.
    pub fn of_file(file: &str, what: &str) -> Self {
        Self { file: file.to_owned(), what: what.to_owned(), help: None, place: None }
    }

    fn at(file: &SourceFile, what: String, offset: usize, length: usize) -> Self {
        let before = file.text.get(..offset).unwrap_or(&file.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let place = Place {
            source: Arc::new(NamedSource::new(&file.name, file.text.clone())),
            offset: before.len(),
            length: length.min(file.text.len() - before.len()),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        };
        Self { file: file.name.clone(), what, help: None, place: Some(place) }
    }

    /// Cedar's own diagnostics know where they are.
    fn of_diagnostic(file: &SourceFile, fault: &dyn Diagnostic) -> Self {
        let first = fault.labels().and_then(|mut labels| labels.next());
        let mut mistake = match &first {
            Some(label) => Self::at(file, fault.to_string(), label.offset(), label.len()),
            None => Self::of_file(&file.name, &fault.to_string()),
        };
        mistake.help = fault.help().map(|help| help.to_string());
        mistake
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{}:{}:{}: {}", self.file, place.line, place.column, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

impl std::error::Error for Mistake {}

impl PartialEq for Mistake {
    /// The same to a reader.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Diagnostic for Mistake {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| place.source.as_ref() as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new(None, place.offset, place.length))))
    }
}

/// All mistakes; none means that the sources can be put in force.
pub(super) fn mistakes(sources: &Sources, schema: &Schema) -> Vec<Mistake> {
    let validator = Validator::new(schema.clone());
    let mut found = Vec::new();
    let mut ids = HashMap::new();
    for file in &sources.policies {
        match PolicySet::from_str(&file.text) {
            Ok(set) => {
                check_set(file, &set, &validator, &mut found);
                check_ids(file, &set, &mut ids, &mut found);
            }
            Err(faults) => found.extend(faults.iter().map(|fault| Mistake::of_diagnostic(file, fault))),
        }
    }
    found.extend(entity_mistake(&sources.entities, schema));
    found
}

fn check_set(file: &SourceFile, set: &PolicySet, validator: &Validator, found: &mut Vec<Mistake>) {
    for template in set.templates() {
        let what = "a rule may not have slots like ?principal".to_owned();
        found.push(at_text(file, what, &template.to_cedar(), 0));
    }
    let result = validator.validate(set, ValidationMode::Strict);
    found.extend(result.validation_errors().map(|fault| Mistake::of_diagnostic(file, fault)));
    // A warning is a rule that can never apply, or a text that reads differently from what it is.
    found.extend(result.validation_warnings().map(|fault| Mistake::of_diagnostic(file, fault)));
    for policy in set.policies() {
        for (literal, what) in policy.entity_literals().iter().filter_map(|uid| Some((uid, literal_fault(uid)?))) {
            found.push(at_text(file, what, &literal.to_string(), 0));
        }
    }
}

fn check_ids(file: &SourceFile, set: &PolicySet, ids: &mut HashMap<String, String>, found: &mut Vec<Mistake>) {
    let mut after = 0;
    for policy in set.policies() {
        let text = policy.to_cedar().unwrap_or_default();
        let start = find(file, &text, after);
        after = start.map_or(after, |start| start + 1);
        let mut complain = |what: String| {
            found.push(start.map_or_else(
                || Mistake::of_file(&file.name, &what),
                |start| Mistake::at(file, what.clone(), start, text.lines().next().unwrap_or_default().len()),
            ));
        };
        let Some(id) = policy_id(policy) else {
            complain("every rule needs an @id(\"...\") of letters, digits and any of -_.:/ alone".to_owned());
            continue;
        };
        if let Some(other) = ids.insert(id.to_owned(), file.name.clone()) {
            complain(format!("the id \"{id}\" is taken by another rule in {other}"));
        }
    }
}

/// The id, if it can stand in a log line as it is.
fn policy_id(policy: &Policy) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    policy.annotation("id").filter(|id| (1..=100).contains(&id.len()) && id.chars().all(plain))
}

/// What is wrong with a name in a rule that the schema cannot know: it would match nothing, quietly.
fn literal_fault(literal: &EntityUid) -> Option<String> {
    let id: &str = literal.id().unescaped();
    let kind = literal.type_name().to_string();
    let wrong = match kind.as_str() {
        "Path" => return path_fault(id),
        "App" => id.parse::<AppName>().is_err(),
        "User" | "Invitee" => !id
            .split_once('/')
            .is_some_and(|(provider, subject)| provider.parse::<ProviderName>().is_ok() && !subject.is_empty()),
        "Portal" => id != "bailiwick",
        "k8s::Cluster" => id.parse::<ClusterName>().is_err(),
        "k8s::Namespace" => !id.split_once('/').is_some_and(|(cluster, namespace)| {
            cluster.parse::<ClusterName>().is_ok() && namespace.parse::<ClusterName>().is_ok()
        }),
        "k8s::Resource" | "k8s::Subresource" | "k8s::NonResourceURL" | "Login" | "Credential" => {
            return Some(format!("a {kind} has no lasting name; look at its attributes instead"));
        }
        _ => false,
    };
    wrong.then(|| match kind.as_str() {
        "User" | "Invitee" => format!("{literal} names nobody: write {kind}::\"<provider>/<subject>\""),
        "k8s::Namespace" => format!("{literal} names no namespace: write {kind}::\"<cluster>/<namespace>\""),
        "Portal" => "there is one portal: Portal::\"bailiwick\"".to_owned(),
        _ => format!("{literal} cannot be a name in the configuration"),
    })
}

fn path_fault(id: &str) -> Option<String> {
    let Some(cut) = id.find('/') else {
        return Some(format!("Path::\"{id}\" has no path: write Path::\"<app>/<path>\""));
    };
    let (app, path) = id.split_at(cut);
    if app.parse::<AppName>().is_err() {
        return Some(format!("Path::\"{id}\" does not begin with an app's name"));
    }
    if path.len() > 1 && path.ends_with('/') {
        let plain = id.trim_end_matches('/');
        return Some(format!("Path::\"{id}\" does not cover what is below it: write Path::\"{plain}\""));
    }
    match CanonicalPath::parse(path) {
        Err(fault) => Some(format!("Path::\"{id}\" is never requested: {fault}")),
        Ok(parsed) if parsed.judged() != parsed => {
            Some(format!("Path::\"{id}\" is asked about as Path::\"{}{}\": write that", app, parsed.judged()))
        }
        Ok(_) => None,
    }
}

fn entity_mistake(file: &SourceFile, schema: &Schema) -> Option<Mistake> {
    let fault = match serde_json::from_str::<Vec<GroupEntry>>(&file.text) {
        Ok(_) => return groups(&file.text, schema).err().map(|fault| Mistake::of_file(&file.name, &fault.to_string())),
        Err(fault) => fault,
    };
    let line_start = file.text.split_inclusive('\n').take(fault.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let offset = (line_start + fault.column().saturating_sub(1)).min(file.text.len());
    let mut mistake = Mistake::at(file, fault.to_string(), offset, 1);
    mistake.help = Some(
        "the file is a list of groups: {\"uid\": {\"type\": \"Group\", \"id\": ...}, \"parents\": [...]}".to_owned(),
    );
    Some(mistake)
}

fn at_text(file: &SourceFile, what: String, text: &str, after: usize) -> Mistake {
    match find(file, text, after) {
        Some(offset) => Mistake::at(file, what, offset, text.lines().next().unwrap_or_default().len()),
        None => Mistake::of_file(&file.name, &what),
    }
}

fn find(file: &SourceFile, text: &str, after: usize) -> Option<usize> {
    file.text.get(after..)?.find(text).map(|found| found + after)
}
