//! `make bench-decide`: how long a decision takes when there are many rules. The same questions are put to a hundred, two
//! hundred, a thousand and ten thousand rules, by turns; each is timed alone. No database, no log: rules and memory only.
//!
//! Every question is asked three ways: as one that has been asked before and is remembered; as one that was never asked (a
//! path that is new), which has to be thought through; and where a rule looks at the time, which is never remembered.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on is to stop"
)]

use std::{hint::black_box, time::Instant};

use bailiwick::{
    access::{
        Rules, SourceFile, Sources,
        judge::{circumstances, judge, judge_by_all},
    },
    model::{
        Action, Assurance, AssuranceLevel, Caller, CanonicalPath, Identity, LoginId, Method, PersonId, Presented,
        Scope, SystemEntropy, Timestamp, Upgrade, Verdict, WebRequest,
    },
};

const TEAMS: usize = 500;
const APPS: usize = 20;
const PEOPLE: usize = 2_000;
const QUESTIONS: usize = 20_000;
const SIZES: [usize; 4] = [100, 200, 1_000, 10_000];
const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

fn main() {
    let rounds: usize = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(3);
    let people: Vec<Caller> = (0..PEOPLE).map(person).collect();
    println!("microseconds a decision: p50, p99, p99.9; the middle one of {rounds} rounds of {QUESTIONS} questions");
    println!(
        "{:>6} | {:>22} | {:>22} | {:>22} | {:>10}",
        "rules", "remembered", "never asked before", "a rule reads the time", "all rules"
    );
    for size in SIZES {
        let (plain, timely) = (rules(size, false), rules(size, true));
        let mut seen: [Vec<[f64; 3]>; 3] = [const { Vec::new() }; 3];
        for round in 0..=rounds {
            let known = |n: usize| format!("/area-{}/page-{}", n % 50, n % 7);
            let new = |n: usize| format!("/area-{}/page-{round}-{n}", n % 50);
            // So many new questions make the memory forget; this one time does not count.
            measure(&plain, &people[..50], known);
            let found =
                [measure(&plain, &people[..50], known), measure(&plain, &people, new), measure(&timely, &people, new)];
            // The first round only warms up.
            if round > 0 {
                seen.iter_mut().zip(found).for_each(|(seen, found)| seen.push(found));
            }
        }
        let shown = seen.map(|rounds| {
            let middle = |nth: usize| median(rounds.iter().map(|figures| figures[nth]).collect());
            format!("{:>6.1} {:>7.1} {:>7.1}", middle(0), middle(1), middle(2))
        });
        println!("{size:>6} | {} | {} | {} | {:>10.1}", shown[0], shown[1], shown[2], by_all(&plain, &people[0]));
    }
}

/// Rules as in a large house: most are for one team and one part of one app, a fifth forbid, a few are for everybody.
fn rules(size: usize, reads_time: bool) -> Rules {
    let mut text = String::new();
    for n in 0..size - 4 {
        let (team, app, area) = (n % TEAMS, n % APPS, n % 50);
        text.push_str(&match n % 5 {
            0 => format!(
                "@id(\"r{n}\") forbid (principal, action in Action::\"write\", resource in Path::\"app-{app}/area-{area}/{n}\") \
                 unless {{ principal in Group::\"team-{team}\" }};\n"
            ),
            1 => format!(
                "@id(\"r{n}\") permit (principal, action in Action::\"read\", resource in Path::\"app-{app}/area-{area}/{n}\") \
                 when {{ principal in Group::\"team-{team}\" && context.assurance == \"passkey\" }};\n"
            ),
            _ => format!(
                "@id(\"r{n}\") permit (principal in Group::\"team-{team}\", action in Action::\"read\", resource in \
                 Path::\"app-{app}/area-{area}\") when {{ context.assurance == \"passkey\" && principal.provider == \"corp\" }};\n"
            ),
        });
    }
    text.push_str(
        "@id(\"staff-reads\") permit (principal in Group::\"staff\", action in Action::\"read\", resource) when \
         { context.assurance == \"passkey\" };\n\
         @id(\"no-robots\") forbid (principal, action, resource) when { principal.subject like \"robot-*\" };\n\
         @id(\"not-from-outside\") forbid (principal, action, resource) when { context.address.isMulticast() };\n",
    );
    text.push_str(if reads_time {
        "@id(\"not-yet\") forbid (principal, action, resource) when { context.time < datetime(\"2020-01-01\") };\n"
    } else {
        "@id(\"no-streams\") forbid (principal, action, resource) when { context.upgrade };\n"
    });
    let groups: Vec<String> = (0..TEAMS)
        .map(|n| format!(r#"{{"uid":{{"type":"Group","id":"team-{n}"}},"parents":[{{"type":"Group","id":"staff"}}]}}"#))
        .collect();
    let file = |name: &str, text: String| SourceFile { name: name.to_owned(), text };
    let entities = file("entities.json", format!("[{}]", groups.join(",")));
    // Not `Rules::read`, which checks every rule for mistakes: ten thousand of them take it minutes.
    Rules::from_texts(Sources { policies: vec![file("many.cedar", text)], entities }.texts()).unwrap()
}

/// Somebody in three teams.
fn person(n: usize) -> Caller {
    let app = n % APPS;
    Caller {
        person: PersonId::random(&SystemEntropy),
        identity: Identity {
            provider: "corp".parse().unwrap(),
            issuer: "https://idp.example".to_owned(),
            subject: format!("p{n}"),
            name: format!("Person {n}"),
        },
        groups: (0..3).map(|k| format!("team-{}", (n * 7 + k * 131) % TEAMS)).collect(),
        login: LoginId::random(&SystemEntropy),
        presented: Presented::Session,
        scope: Scope::App { app: format!("app-{app}").parse().unwrap() },
        assurance: Assurance { level: AssuranceLevel::Passkey, at: NOW },
        acr: None,
        address: [192, 0, 2, 7].into(),
    }
}

fn reading(caller: &Caller, path: &str) -> Action {
    let Scope::App { app } = &caller.scope else { panic!("everybody is at an app") };
    let path = CanonicalPath::parse(path).unwrap();
    Action::Web(WebRequest { app: app.clone(), method: Method::Get, path, query: None, upgrade: Upgrade::None })
}

/// The 50th, 99th and 99.9th percentile over all questions.
fn measure(rules: &Rules, people: &[Caller], path: impl Fn(usize) -> String) -> [f64; 3] {
    let mut took: Vec<f64> = (0..QUESTIONS)
        .map(|n| {
            let caller = &people[n % people.len()];
            let (action, context) = (reading(caller, &path(n)), circumstances(caller, NOW));
            let began = Instant::now();
            let decision = black_box(judge(rules, caller, &action, &context));
            let took = began.elapsed();
            assert_eq!(decision.verdict, Verdict::Allow);
            took.as_nanos() as f64 / 1e3
        })
        .collect();
    took.sort_unstable_by(f64::total_cmp);
    [0.5, 0.99, 0.999].map(|share| took[(took.len() as f64 * share) as usize])
}

/// Without looking for those that can matter.
fn by_all(rules: &Rules, caller: &Caller) -> f64 {
    let (action, context) = (reading(caller, "/area-1/page"), circumstances(caller, NOW));
    let took = (0..5).map(|_| {
        let began = Instant::now();
        black_box(judge_by_all(rules, caller, &action, &context));
        began.elapsed().as_nanos() as f64 / 1e3
    });
    median(took.collect())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
