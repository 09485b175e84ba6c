//! How long a reviewer waits for the first page, a count and a chart, and whether anything but an index served them.

use std::time::{Duration, Instant};

use bailiwick::audit::search::{Search, Turn, activity, find, take_turn, tally};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use super::{
    history::{PEOPLE, entry, id, recorded_at},
    made_up::{PACE, connect},
};

/// A page, as the portal shows it.
const PAGE: usize = 50;

/// Builds the index, then asks.
pub async fn measure(size: u64) {
    build(size).await;
    ask(size).await;
}

/// The index, as a broker builds it.
async fn build(size: u64) {
    let mut db = connect("bailiwick_broker", "bench").await;
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        let turn = Instant::now();
        match take_turn(&mut db, 4).await.unwrap() {
            Turn::Complete => break,
            _ => longest = longest.max(turn.elapsed()),
        }
        if start.elapsed().as_secs() % 20 == 0 {
            eprint!("\rindexing, {} s ", start.elapsed().as_secs());
        }
    }
    let took = start.elapsed();
    let mut db = connect("postgres", "bench").await;
    db.execute("vacuum analyze posting").await.unwrap();
    db.execute("vacuum analyze search_block").await.unwrap();
    let sizes = "select (select count(*) from posting),
                        pg_table_size('posting'), pg_indexes_size('posting'), pg_total_relation_size('search_block'),
                        (select sum(octet_length(leaf)) from entry where leaf_index < 100000),
                        (select sum(pg_table_size(inhrelid))::bigint from pg_inherits where inhparent = 'entry'::regclass)";
    let row = db.fetch_one(sizes).await.unwrap();
    let megabytes = |nth: usize| row.get::<i64, _>(nth) as f64 / 1e6;
    println!(
        "{size} entries ({} bytes of leaf each). Index built in {:.0} s: {:.0} entries a second, longest turn of 4 blocks {} ms.\n\
         {} postings: table {:.0} MB, index {:.0} MB; blocks {:.1} MB; together {:.0} bytes for each entry.\n",
        row.get::<i64, _>(4) / 100_000.min(size as i64),
        took.as_secs_f64(),
        size as f64 / took.as_secs_f64(),
        longest.as_millis(),
        row.get::<i64, _>(0),
        megabytes(1),
        megabytes(2),
        megabytes(3),
        (megabytes(1) + megabytes(2) + megabytes(3)) * 1e6 / size as f64,
    );
}

fn questions(size: u64) -> Vec<(&'static str, String)> {
    let middle = entry(size / 2 / 2 * 2, PACE);
    let caller = middle.caller.clone().unwrap();
    let credential = (size / 2..).find_map(|n| entry(n, PACE).caller?.presented.credential()).unwrap();
    let (from, until) = (recorded_at(size / 3, PACE), recorded_at(size / 3 + 7_200, PACE));
    vec![
        ("nothing: the first page", String::new()),
        ("who, a busy person", "who=corp/u-3".into()),
        ("who, a rare person", format!("who=corp/u-{}", PEOPLE - 1)),
        ("who, words of a name", "who=ada+lovelace".into()),
        ("what, a kind", "what=sign-in".into()),
        ("what, verb and resource", "what=list+pods".into()),
        ("what, a status", "what=500".into()),
        ("where, an app", "where=wiki".into()),
        ("where, a path", "where=wiki/docs".into()),
        ("where, one page", "where=wiki/docs/7".into()),
        ("where, four steps deep", format!("where=prod/team-3/pods/web-{}", 7)),
        ("verdict", "verdict=deny".into()),
        ("verdict, a rare one", "verdict=failed".into()),
        ("rule, a rare one", "rule=break-glass".into()),
        ("address", format!("address={}", caller.address)),
        ("address, /24", "address=10.1.7.0/24".into()),
        ("address, /20", "address=10.1.0.0/20".into()),
        ("credential", format!("credential={credential}")),
        ("login", format!("login={}", caller.login)),
        ("request", format!("request={}", id(2, size / 4))),
        ("two hours long ago", format!("from={from}&until={until}")),
        ("text, a rare word", "text=777777".into()),
        ("text, two common words", "text=ask+team".into()),
        ("text, a word that is nowhere", "text=nowhere".into()),
        ("who + verdict", "who=corp/u-3&verdict=deny".into()),
        ("who + where + verdict", "who=corp/u-3&where=wiki&verdict=deny".into()),
        ("rare who + common verdict", format!("who=corp/u-{}&verdict=allow", PEOPLE - 1)),
        ("verdict + hours long ago", format!("verdict=deny&from={from}&until={until}")),
        ("two common ones that never meet", "verdict=allow&what=sign-in".into()),
        ("common ones that seldom meet", "what=delete&where=prod&rule=break-glass".into()),
    ]
}

async fn ask(size: u64) {
    let mut auditor = connect("bailiwick_auditor", "bench").await;
    let before = scans().await;
    println!("| search | found | page, ms | blocks looked at | all, counted | count, ms | chart, ms |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (what, query) in questions(size) {
        let search = Search::parse(&query).unwrap();
        let (mut pages, mut counts, mut charts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut found, mut count) = (None, None);
        for _ in 0..5 {
            let start = Instant::now();
            found = Some(find(&mut auditor, &search, None, PAGE, |_| true).await.unwrap());
            pages.push(start.elapsed());
            let start = Instant::now();
            count = Some(tally(&mut auditor, &search).await.unwrap());
            counts.push(start.elapsed());
            let start = Instant::now();
            activity(&mut auditor, &search, 48).await.unwrap();
            charts.push(start.elapsed());
        }
        let (found, count) = (found.unwrap(), count.unwrap());
        let about = if count.is_exact { "" } else { "~" };
        println!(
            "| {what} | {}{} | {} | {} | {about}{} | {} | {} |",
            found.entries.len(),
            if found.hint.is_some() { " (hint)" } else { "" },
            median(pages),
            found.examined,
            count.count,
            median(counts),
            median(charts),
        );
    }
    println!("\nMedian of five, one after the other, warm. Scans of whole tables that this took:");
    auditor.close().await.unwrap();
    for ((table, scans), (_, then)) in scans().await.into_iter().zip(before) {
        println!("- {table}: {}", scans - then);
    }
    plans(size).await;
}

fn median(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("{:.1}", times[times.len() / 2].as_secs_f64() * 1e3)
}

/// How often Postgres read a table from end to end.
async fn scans() -> Vec<(String, i64)> {
    // Counts of a session arrive when it has ended.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let statement = "select relname::text, coalesce(seq_scan, 0) from pg_stat_user_tables
                      where relname like 'entry%' or relname in ('posting', 'search_block') order by 1";
    sqlx::query_as(statement).fetch_all(&mut connect("postgres", "bench").await).await.unwrap()
}

/// What Postgres does for the statements that every search comes down to.
async fn plans(size: u64) {
    let mut db = connect("bailiwick_auditor", "bench").await;
    let term = "(select term from posting where block = 0 limit 1)";
    let block = size / 1024 / 2;
    let leaves: Vec<String> = (0..50).map(|nth| (block * 1024 + nth * 7).to_string()).collect();
    for (what, statement) in [
        (
            "the blocks of the leading term",
            format!(
                "select term, block, bits from posting where term = {term} and block >= 0 and block < {block} order by block desc limit 512"
            ),
        ),
        (
            "the entries that bits name, of one month",
            format!(
                "select leaf_index, leaf from entry where leaf_index = any('{{{}}}')
                    and recorded_at >= (select first_recorded_at from search_block where block = {block})
                    and recorded_at <= (select last_recorded_at from search_block where block = {block})",
                leaves.join(",")
            ),
        ),
        (
            "the first block after an instant",
            format!(
                "select block from search_block where last_recorded_at >= '{}' order by last_recorded_at, block limit 1",
                recorded_at(size / 3, PACE)
            ),
        ),
        (
            "a request",
            format!(
                "select leaf_index, leaf from entry where request = any(array['{}'::uuid]) order by leaf_index limit 10000",
                id(2, size / 4)
            ),
        ),
    ] {
        println!("\n{what}:\n\n```");
        let explain = format!("explain (analyze, costs off, timing off, summary off, buffers off) {statement}");
        for row in db.fetch_all(AssertSqlSafe(explain)).await.unwrap() {
            println!("{}", row.get::<String, _>(0));
        }
        println!("```");
    }
}
