//! The words that rules can use: our Cedar schema, built in, so that rules and broker cannot disagree about it.
//! Changing it changes its hash in every later decision; old texts stay in the store for replay.

use std::str::FromStr as _;

use cedar_policy::Schema;

use super::AccessFault;

/// The schema's text.
pub const TEXT: &str = include_str!("schema.cedarschema");

/// Reads a schema: the built-in one, or an older one that a decision was made under.
pub fn parse(text: &str) -> Result<Schema, AccessFault> {
    Schema::from_str(text).map_err(|fault| AccessFault::Schema(fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_schema_is_sound() {
        let (schema, warnings) = Schema::from_cedarschema_str(TEXT).unwrap();
        assert_eq!(warnings.map(|warning| warning.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
        assert!(schema.action_entities().unwrap().len() > 30);
    }
}
