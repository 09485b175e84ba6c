//! The file and the environment as one tree, in which every value knows where it came from.
//! Knows TOML and the shape of variable names; leaves what the keys mean to the sections.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Origin, Source};

/// What the names of all our variables begin with.
const PREFIX: &str = "BAILIWICK_";

/// A table: keys in alphabetical order.
pub(super) type Table = BTreeMap<String, Entry>;

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Origin,
    pub(super) node: Node,
}

/// A value with where it came from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// A kind that no setting has, by its name.
    Other(&'static str),
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads the file; every syntax error is a mistake.
pub(super) fn parse(source: &Source) -> Result<Table, Vec<Mistake>> {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    if errors.is_empty() {
        return Ok(convert_table(table.get_ref()));
    }
    let mistake = |error: &toml::de::Error| {
        let origin = error.span().map_or(Origin::Absent, Origin::Span);
        source.mistake(&origin, format!("not TOML: {}", error.message()), "here")
    };
    Err(errors.iter().map(mistake).collect())
}

/// Reads one TOML value, as defaults are written.
pub(super) fn parse_value(text: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(Node { value: convert(value.get_ref()), origin: Origin::Absent })
}

/// Lays `BAILIWICK_SECTION__KEY` variables over the file. Variables without `__` are not settings.
pub(super) fn overlay(table: &mut Table, environment: &[(String, String)]) {
    for (variable, text) in environment {
        let Some((section, key)) = variable.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let origin = Origin::Variable(variable.clone());
        let node = Node { value: Value::Text(text.clone()), origin: origin.clone() };
        let section = table.entry(section.to_lowercase()).or_insert_with(|| Entry {
            key: origin.clone(),
            node: Node { value: Value::Table(Table::new()), origin: origin.clone() },
        });
        match &mut section.node.value {
            Value::Table(entries) => {
                entries.insert(key.to_lowercase(), Entry { key: origin, node });
            }
            // A list of tables, or not a section at all: the reader says so, and of the variable as well.
            Value::List(items) => items.push(node),
            _ => {}
        }
    }
}

fn convert_table(table: &DeTable<'_>) -> Table {
    let entry = |(key, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
        let node = Node { value: convert(value.get_ref()), origin: Origin::Span(value.span()) };
        (key.get_ref().to_string(), Entry { key: Origin::Span(key.span()), node })
    };
    table.iter().map(entry).collect()
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other("an integer out of range"), Value::Integer),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Float(_) => Value::Other("a float"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Node { value: convert(item.get_ref()), origin: Origin::Span(item.span()) })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table)),
    }
}
