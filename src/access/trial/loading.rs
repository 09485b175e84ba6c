//! Which rules are taken, and what is said about the others.

use super::*;

#[test]
fn a_forbid_that_could_fail_is_refused_with_its_place() {
    let found = mistakes("\n@id(\"x\")\nforbid (principal, action, resource)\nwhen { context.acr == \"mfa\" };\n");
    assert!(found[0].starts_with("10.cedar:4:8: "), "{found:?}");
    let found = mistakes("@id(\"x\") forbid (principal, action, resource) when { principal.age > 18 };");
    assert!(found[0].contains("age"), "{found:?}");
}

#[test]
fn a_rule_that_could_never_match_is_refused() {
    for text in [
        "@id(\"x\") permit (principal, action == k8s::Action::\"get\", resource in App::\"wiki\");",
        "@id(\"x\") permit (principal, action == k8s::Action::\"get\", resource is k8s::Subresource);",
        "@id(\"x\") permit (principal, action == k8s::Action::\"exec\", resource is k8s::Resource);",
        "@id(\"x\") permit (principal, action == Action::\"nap\", resource);",
        "@id(\"x\") permit (principal in k8s::Group::\"devs\", action, resource);",
        "@id(\"x\") forbid (principal, action, resource in Path::\"wiki/admin/\");",
        "@id(\"x\") forbid (principal, action, resource in Path::\"wiki\");",
        "@id(\"x\") forbid (principal, action, resource in Path::\"wiki/%61dmin\");",
        "@id(\"x\") forbid (principal, action, resource in Path::\"Wiki/admin\");",
        "@id(\"x\") permit (principal == User::\"alice\", action, resource);",
        "@id(\"x\") permit (principal, action, resource in k8s::Namespace::\"default\");",
        "@id(\"x\") permit (principal, action, resource == Portal::\"portal\");",
        "@id(\"x\") permit (principal, action, resource == k8s::Resource::\"demo/pods\");",
        "@id(\"x\") permit (principal == ?principal, action, resource);",
    ] {
        assert!(mistakes(text)[0].starts_with("10.cedar:1:"), "{text}: {:?}", mistakes(text));
    }
}

#[test]
fn every_rule_needs_an_id_of_its_own() {
    let found = mistakes("permit (principal, action, resource);");
    assert!(found[0].starts_with("10.cedar:1:1: every rule needs an @id"), "{found:?}");
    assert!(mistakes("@id(\"a b\") permit (principal, action, resource);")[0].contains("every rule needs an @id"));
    let twice = "@id(\"x\") permit (principal, action, resource);\n";
    let found = mistakes_in(&sources(&[("10.cedar", twice), ("20.cedar", twice)], GROUPS));
    assert_eq!(found, ["20.cedar:1:1: the id \"x\" is taken by another rule in 10.cedar"]);
    assert!(mistakes(&twice.repeat(2))[0].starts_with("10.cedar:2:1: "));
}

#[test]
fn all_mistakes_are_said_at_once() {
    let files = [
        ("10.cedar", "permit (principal"),
        ("20.cedar", "@id(\"x\") permit (principal, action, resource) when { 1 };"),
    ];
    let found = mistakes_in(&sources(&files, "[\n  {\"uid\": {\"type\": \"User\", \"id\": \"x\"}}\n]"));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("10.cedar:1:"), "{found:?}");
    assert!(found[1].starts_with("20.cedar:1:"), "{found:?}");
    assert!(found[2].starts_with("entities.json:2:"), "{found:?}");
}

#[test]
fn the_entities_file_holds_groups_once_each_without_cycles() {
    let text = "@id(\"x\") permit (principal, action, resource);";
    let found = |entities: &str| mistakes_in(&sources(&[("10.cedar", text)], entities));
    let group = |id: &str, parent: &str| {
        format!(r#"{{"uid":{{"type":"Group","id":"{id}"}},"parents":[{{"type":"Group","id":"{parent}"}}]}}"#)
    };
    assert!(found(&format!("[{},{}]", group("a", "b"), group("a", "c")))[0].contains("listed twice"));
    assert!(found(&format!("[{},{}]", group("a", "b"), group("b", "a")))[0].contains("cycle"));
    assert!(found(r#"[{"uid":{"type":"Group","id":"a"},"attrs":{"x":1}}]"#)[0].contains("unknown field"));
    assert!(found("{}")[0].starts_with("entities.json:1:"));
}

#[test]
fn a_mistake_is_shown_with_its_line_underlined() {
    let broken =
        sources(&[("10.cedar", "@id(\"x\")\npermit (principal, action, resource) when { context.foo };\n")], GROUPS);
    let Err(AccessFault::Rules(mistakes)) = Rules::read(&broken) else { panic!("it was taken") };
    let mut shown = String::new();
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::none());
    handler.render_report(&mut shown, &mistakes[0]).unwrap();
    assert!(shown.contains("[10.cedar:2:") && shown.contains("context.foo"), "{shown}");
}

#[test]
fn files_are_read_by_name_and_hidden_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let entities = folder.path().join("entities.json");
    assert!(Sources::load(folder.path(), &entities).is_err());
    write("20-b.cedar", "b // no end of line");
    write("10-a.cedar", "a");
    write(".10-a.cedar", "hidden");
    write("notes.txt", "text");
    write("entities.json", "[]");
    let sources = Sources::load(folder.path(), &entities).unwrap();
    assert_eq!(sources.texts().policies, "// ---- 10-a.cedar\na\n// ---- 20-b.cedar\nb // no end of line\n");
    assert!(Sources::load(&folder.path().join("missing"), &entities).is_err());
}
