//! The rules of the house, as a test: who may look at whom, how files begin and how long they are, where SQL stands and
//! what must not be called. Each rule is shown to fail on a small example at the foot of this file.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on is to stop")]

#[path = "house/rooms.rs"]
mod rooms;
#[path = "house/words.rs"]
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rooms::{may_use, module_of, paths};
use words::{TestModule, Word, is, test_modules, without_tests, words};

/// A broken rule: where, and which.
type Breach = String;

#[test]
fn rooms_look_only_at_rooms_above_them() {
    uphold(&["src"], "rs", imports);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    uphold(&["src", "tests"], "rs", header);
}

#[test]
fn no_file_is_longer_than_400_lines() {
    uphold(&["src", "tests"], "rs", length);
    uphold(&["tests"], "go", length);
}

#[test]
fn only_the_store_writes_sql() {
    uphold(&["src"], "rs", sql);
}

#[test]
fn nothing_gives_up_by_panic() {
    let tests = files_of_tests();
    uphold(&["src"], "rs", |path, source| {
        let module = module_of(path);
        if tests.iter().any(|test| module.starts_with(test)) { Vec::new() } else { panics(path, source) }
    });
}

#[test]
fn only_the_config_room_reads_the_environment() {
    uphold(&["src"], "rs", environment);
}

#[test]
fn only_the_store_begins_a_transaction_on_a_pool() {
    uphold(&["src"], "rs", beginning);
}

#[test]
fn every_room_is_in_the_order() {
    let rooms = files(Path::new("src"), "rs").into_iter().filter_map(|path| module_of(&path).into_iter().next());
    for room in rooms {
        assert!(rooms::ORDER.contains(&room.as_str()), "`{room}` has no place in the order");
    }
}

fn imports(path: &Path, source: &str) -> Vec<Breach> {
    let module = module_of(path);
    let words = words(source);
    let mut breaches = Vec::new();
    for (line, found) in paths(&module, &words) {
        let breach = match (module.first(), found.first()) {
            (_, None) => "the whole crate is no room".to_owned(),
            // The doors of the crate itself: lib.rs shows the rooms, main.rs opens one.
            (None, Some(_)) => continue,
            (Some(room), Some(other)) if other == "demo" && room != "demo" && room != "cli" => {
                format!("only cli may use demo, and {room} does")
            }
            (Some(room), Some(other)) if may_use(room, other) => continue,
            (Some(room), Some(other)) => format!("{room} must not use {other}"),
        };
        breaches.push(format!("{}:{line}: {breach}", path.display()));
    }
    let words = without_tests(&words);
    for at in 0..words.len() {
        if is(&words, at, &["extern", "crate"]) || is(&words, at, &["#", "[", "path"]) || names_our_crate(&words, at) {
            let breach = "a way round the order: `extern crate`, `#[path]` or the crate's own name";
            if !module.is_empty() {
                breaches.push(format!("{}:{}: {breach}", path.display(), words[at].line));
            }
        }
    }
    breaches
}

fn names_our_crate(words: &[Word], at: usize) -> bool {
    is(words, at, &["bailiwick", "::"]) && !(at > 0 && words[at - 1].text == "::")
}

fn header(path: &Path, source: &str) -> Vec<Breach> {
    let lines = source.lines().take_while(|line| line.starts_with("//!")).count();
    if lines > 0 { Vec::new() } else { vec![format!("{}:1: no `//!` header", path.display())] }
}

fn length(path: &Path, source: &str) -> Vec<Breach> {
    let lines = source.lines().count();
    let is_generated = source.lines().take(3).any(|line| line.starts_with("// Code generated"));
    if lines <= 400 || is_generated { Vec::new() } else { vec![format!("{}: {lines} lines", path.display())] }
}

fn sql(path: &Path, source: &str) -> Vec<Breach> {
    if path.starts_with("src/store") {
        return Vec::new();
    }
    let words = without_tests(&words(source));
    let asks = |word: &str| {
        matches!(
            word,
            "query" | "query_as" | "query_scalar" | "query_with" | "raw_sql" | "AssertSqlSafe" | "QueryBuilder"
        )
    };
    let starts = (0..words.len()).filter(|&at| is(&words, at, &["sqlx", "::"]));
    let mut breaches = Vec::new();
    for at in starts {
        let path_words = words[at..].iter().take_while(|word| !matches!(word.text.as_str(), ";" | "(" | ")" | "="));
        for word in path_words.filter(|word| asks(&word.text)) {
            breaches.push(format!("{}:{}: SQL outside the store", path.display(), word.line));
        }
    }
    breaches
}

fn panics(path: &Path, source: &str) -> Vec<Breach> {
    let words = without_tests(&words(source));
    let mut breaches = Vec::new();
    for (at, word) in words.iter().enumerate() {
        // With other arguments these are somebody's own words: keys are unwrapped, a fold expects a checkpoint.
        let unwraps = ["unwrap", "unwrap_err"].iter().any(|call| is(&words, at, &[".", call, "(", ")"]));
        let calls = unwraps
            || ["expect", "expect_err"]
                .iter()
                .any(|call| is(&words, at, &[".", call, "("]) && has_one_argument(&words, at + 2));
        let gives_up =
            ["panic", "unreachable", "todo", "unimplemented"].iter().any(|give_up| is(&words, at, &[give_up, "!"]));
        if calls || gives_up {
            let what = if calls { &words[at + 1].text } else { &word.text };
            breaches.push(format!("{}:{}: `{what}` outside tests", path.display(), word.line));
        }
    }
    breaches
}

/// Whether the call that opens at `open` has no comma between its arguments.
fn has_one_argument(words: &[Word], open: usize) -> bool {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            "," if depth == 1 => return is(words, at + 1, &[")"]),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    true
}

fn environment(path: &Path, source: &str) -> Vec<Breach> {
    if path.starts_with("src/config") {
        return Vec::new();
    }
    let words = without_tests(&words(source));
    let reads = |at: &usize| {
        ["var", "var_os", "vars", "vars_os", "set_var", "home_dir"]
            .iter()
            .any(|read| is(&words, *at, &["env", "::", read]))
    };
    let found = (0..words.len()).filter(reads);
    found.map(|at| format!("{}:{}: reads the environment", path.display(), words[at].line)).collect()
}

/// Why it must not be begun elsewhere, `store::begin` says.
fn beginning(path: &Path, source: &str) -> Vec<Breach> {
    if path.starts_with("src/store") {
        return Vec::new();
    }
    let words = without_tests(&words(source));
    let found = (0..words.len()).filter(|at| is(&words, *at, &["pool", ".", "begin"]));
    found.map(|at| format!("{}:{}: begins a transaction on a pool", path.display(), words[at].line)).collect()
}

/// The modules that are tests from their first line.
fn files_of_tests() -> Vec<Vec<String>> {
    let mut modules = Vec::new();
    for path in files(Path::new("src"), "rs") {
        for declared in test_modules(&words(&read(&path))) {
            modules.push(match declared {
                TestModule::Named(name) => [module_of(&path), vec![name]].concat(),
                TestModule::At(file) => module_of(&path.with_file_name(file)),
            });
        }
    }
    modules
}

fn uphold(folders: &[&str], extension: &str, rule: impl Fn(&Path, &str) -> Vec<Breach>) {
    let all = folders.iter().flat_map(|folder| files(Path::new(folder), extension));
    let breaches: Vec<Breach> = all.flat_map(|path| rule(&path, &read(&path))).collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// Paths from the root of the repository, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for item in fs::read_dir(root.join(folder)).unwrap() {
        let item = item.unwrap();
        let path = folder.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            let is_ours = !matches!(item.file_name().to_str(), Some("node_modules" | "target" | "vendor" | ".cache"));
            found.extend(is_ours.then(|| files(&path, extension)).into_iter().flatten());
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn assert_breaks(rule: impl Fn(&Path, &str) -> Vec<Breach>, path: &str, source: &str, expected: &str) {
    let found = rule(Path::new(path), source);
    assert!(found.iter().any(|breach| breach.contains(expected)), "{path} {source:?}: {found:?} lacks {expected:?}");
}

fn assert_keeps(rule: impl Fn(&Path, &str) -> Vec<Breach>, path: &str, source: &str) {
    assert_eq!(rule(Path::new(path), source), Vec::<Breach>::new(), "{path} {source:?}");
}

#[test]
fn an_import_from_below_is_found_however_it_is_written() {
    for source in [
        "use crate::identity::Login;",
        "use crate::{model::Caller, identity::{self, Login}};",
        "use crate::{\n    config::{self as c, Settings},\n    identity as who,\n};",
        "fn f() { crate::identity::login() }",
        "use super::super::identity;",
        "use super::{super::identity::Login};",
        "use self::super::super::identity;",
        "mod tests { use super::super::super::identity::Login; }",
        "type X = Vec<crate::identity::Login>;",
        "macro_rules! m { () => { $crate::identity::f() } }",
        "use {crate::identity::Login};",
    ] {
        assert_breaks(imports, "src/store/person.rs", source, "store must not use identity");
    }
    assert_breaks(imports, "src/store/person.rs", "use crate::*;", "store must not use *");
    assert_breaks(imports, "src/store/person.rs", "use crate as all;", "the whole crate");
    assert_breaks(imports, "src/store/person.rs", "use crate::{self as all};", "the whole crate");
    assert_breaks(imports, "src/store/mod.rs", "use super::identity;", "store must not use identity");
    assert_breaks(imports, "src/store/mod.rs", "use bailiwick::identity;", "a way round");
    assert_breaks(imports, "src/store/mod.rs", "extern crate self as all;", "a way round");
    assert_breaks(imports, "src/outbound.rs", "use crate::store::X;", "outbound must not use store");
    assert_breaks(imports, "src/audit/log.rs", "use crate::outbound::X;", "audit must not use outbound");
    assert_breaks(imports, "src/access/gate.rs", "use crate::credential::X;", "access must not use credential");
}

#[test]
fn an_import_from_above_or_beside_is_no_breach() {
    for source in [
        "use crate::{model::Caller, config::Settings};",
        "use super::{StoreFault, person};",
        "mod tests { use super::*; use super::super::expect_rows; }",
        "// use crate::identity::Login;\nlet x = \"crate::identity\";",
        "pub(crate) fn f(self) { self.identity() } pub(super) struct S;",
        "use std::{fs, io::{self, Read}};",
        "fn f() { crate::model::Caller::<crate::model::X>::new() }",
    ] {
        assert_keeps(imports, "src/store/person.rs", source);
    }
}

#[test]
fn the_walls_hold() {
    assert_breaks(imports, "src/proxy/web.rs", "use crate::portal::page;", "proxy must not use portal");
    assert_breaks(imports, "src/portal/mod.rs", "use crate::proxy::web;", "portal must not use proxy");
    assert_breaks(imports, "src/app.rs", "use crate::demo::provider;", "only cli may use demo");
    assert_breaks(imports, "src/app.rs", "use crate::cli::output;", "app must not use cli");
    assert_keeps(imports, "src/cli/demo.rs", "use crate::demo::run;");
    assert_keeps(imports, "src/app.rs", "use crate::{portal, proxy};");
}

#[test]
fn a_file_without_a_header_or_too_long_is_found() {
    assert_breaks(header, "src/x.rs", "use std::fs;\n//! late", "no `//!` header");
    assert_keeps(header, "src/x.rs", "//! What it is for.\n");
    assert_breaks(length, "src/x.rs", &"\n".repeat(401), "401 lines");
    assert_keeps(length, "src/x.rs", &"\n".repeat(400));
}

#[test]
fn sql_outside_the_store_is_found() {
    assert_breaks(sql, "src/audit/log.rs", "sqlx::query(\"select 1\")", "SQL outside");
    assert_breaks(sql, "src/audit/log.rs", "use sqlx::{PgPool, query_as};", "SQL outside");
    assert_breaks(sql, "src/audit/log.rs", "sqlx::raw_sql(\"select 1\")", "SQL outside");
    assert_keeps(sql, "src/audit/log.rs", "use sqlx::{PgPool, PgConnection};");
    assert_keeps(sql, "src/store/log.rs", "sqlx::query(\"select 1\")");
}

#[test]
fn giving_up_outside_tests_is_found() {
    for source in
        ["x.unwrap()", "x\n.expect(\"y\",\n)", "x.expect(&f(1, 2))", "panic!(\"z\")", "unreachable!()", "todo!()"]
    {
        assert_breaks(panics, "src/x.rs", source, "outside tests");
        assert_keeps(panics, "src/x.rs", &format!("#[cfg(test)]\nmod tests {{ fn f() {{ {source} }} }}"));
    }
    assert_keeps(
        panics,
        "src/x.rs",
        "key.unwrap(bytes); fold.expect(note, keys); x.unwrap_or_default(); // x.unwrap()\n#[expect(dead_code)]",
    );
}

#[test]
fn reading_the_environment_elsewhere_is_found() {
    assert_breaks(environment, "src/cli/x.rs", "std::env::var(\"HOME\")", "reads the environment");
    assert_keeps(environment, "src/config/x.rs", "std::env::var(\"HOME\")");
    assert_keeps(environment, "src/cli/x.rs", "env!(\"CARGO_PKG_VERSION\")");
}

#[test]
fn a_transaction_that_is_begun_past_the_store_is_found() {
    assert_breaks(beginning, "src/audit/x.rs", "shared.pool.begin().await?", "begins a transaction");
    assert_keeps(beginning, "src/audit/x.rs", "store::begin(&shared.pool).await?");
    assert_keeps(beginning, "src/store/mod.rs", "pool.begin().await");
}
