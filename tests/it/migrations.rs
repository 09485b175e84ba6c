//! The schema: migrations over sample data, what the rows themselves refuse, and who may do what.

use sqlx::{AssertSqlSafe, PgPool, Row};

use crate::support;

const SAMPLE: &str = include_str!("golden/sample.sql");

#[tokio::test]
async fn every_table_keeps_its_sample_rows_when_migrations_run_again() {
    let database = support::database().await;
    sqlx::raw_sql(SAMPLE).execute(&database.owner).await.unwrap();
    let before = counts(&database.owner).await;
    bailiwick::store::migrate(&database.owner).await.unwrap();
    assert_eq!(counts(&database.owner).await, before);
    let empty: Vec<_> = before.iter().filter(|(table, rows)| *rows == 0 && table != "staged_batch").collect();
    assert!(empty.is_empty(), "the sample has no row for {empty:?}");
    assert!(bailiwick::store::pending_migrations(&database.owner).await.unwrap().is_empty());
}

#[tokio::test]
async fn rows_refuse_what_must_never_happen() {
    let database = support::database().await;
    sqlx::raw_sql(SAMPLE).execute(&database.owner).await.unwrap();
    let refused = [
        ("enrolment reopens", "update person set enrolled_at = null"),
        ("a person changes identity", "update person set subject = 'mallory'"),
        (
            "a passkey has two owners",
            "insert into passkey select gen_random_uuid(), person, rp_id, credential_id, state, counter, label, created_at from passkey",
        ),
        (
            "a policy text is not what its hash says",
            "insert into policy_text values (sha256('a'), 'policies', 'b', now())",
        ),
        (
            "the log has two heads",
            "insert into head select epoch, size + 1, parent_size, origin, root, edge, hashes || hashes, gen_random_uuid(), broker, recorded_at from head where size = 1",
        ),
        (
            "a second active key",
            "insert into key (id, purpose, state, public, wrapped, created_at) values (gen_random_uuid(), 'checkpoint', 'active', '', '', now())",
        ),
    ];
    for (what, statement) in refused {
        assert!(sqlx::raw_sql(statement).execute(&database.owner).await.is_err(), "{what}: {statement}");
    }
    let ended = "update login set ended_at = now(), end_cause = 'test'; update credential set revoked_at = now(), revoke_cause = 'test'";
    sqlx::raw_sql(ended).execute(&database.owner).await.unwrap();
    for again in [
        "update login set ended_at = null, end_cause = null",
        "update credential set revoked_at = null, revoke_cause = null",
    ] {
        assert!(sqlx::raw_sql(again).execute(&database.owner).await.is_err(), "{again}");
    }
}

#[tokio::test]
async fn each_role_holds_exactly_the_grants_that_it_needs() {
    let database = support::database().await;
    let query = "
        select grantee || ' ' || lower(privilege_type) || ' ' || table_name as line
          from information_schema.role_table_grants
         where table_schema = 'public' and grantee like 'bailiwick\\_%' and grantee <> 'bailiwick_owner'
        union
        select grantee || ' ' || lower(privilege_type) || ' ' || table_name || '(' || string_agg(column_name, ', ' order by column_name) || ')'
          from information_schema.role_column_grants c
         where table_schema = 'public' and grantee like 'bailiwick\\_%' and grantee <> 'bailiwick_owner'
           and not exists (select from information_schema.role_table_grants t
                            where (t.grantee, t.table_name, t.privilege_type) = (c.grantee, c.table_name, c.privilege_type))
         group by grantee, privilege_type, table_name
        union
        select grantee || ' ' || lower(privilege_type) || ' ' || routine_name || '()'
          from information_schema.role_routine_grants
         where specific_schema = 'public' and grantee like 'bailiwick\\_%' and grantee <> 'bailiwick_owner'
         order by line";
    let lines: Vec<String> = sqlx::query_scalar(query).fetch_all(&database.owner).await.unwrap();
    assert_eq!(
        lines.join("\n") + "\n",
        include_str!("golden/grants.txt"),
        "grants have changed: review them one by one"
    );
}

/// How many rows each table holds.
async fn counts(owner: &PgPool) -> Vec<(String, i64)> {
    let tables =
        "select tablename from pg_tables where schemaname = 'public' and tablename !~ '^(_sqlx|entry_)' order by 1";
    let mut counts = Vec::new();
    for row in sqlx::query(tables).fetch_all(owner).await.unwrap() {
        let table: String = row.get(0);
        let rows =
            sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}"))).fetch_one(owner).await.unwrap();
        counts.push((table, rows));
    }
    counts
}

#[tokio::test]
async fn the_roles_can_log_in_and_only_do_their_work() {
    let database = support::database().await;
    let who: String = sqlx::query_scalar("select current_user::text").fetch_one(&database.pool).await.unwrap();
    assert_eq!(who, "bailiwick_broker");
    for forbidden in ["delete from head", "update entry set kind = 'x'", "truncate checkpoint"] {
        assert!(sqlx::raw_sql(forbidden).execute(&database.pool).await.is_err(), "{forbidden}");
    }
    let auditor = database.another_pool("bailiwick_auditor");
    for forbidden in ["insert into entry default values", "select wrapped from key", "select record from session"] {
        assert!(sqlx::raw_sql(forbidden).execute(&auditor).await.is_err(), "{forbidden}");
    }
    let fsync: String = sqlx::query_scalar("show fsync").fetch_one(&database.pool).await.unwrap();
    assert_eq!(fsync, "on");
}
