//! The accounts of a Postgres that serves nobody else, as the demonstration has one: a database, and two logins that
//! hold one role each. On a Postgres that others use too, an operator makes these by hand.

use sqlx::{PgConnection, PgPool};

use super::StoreFault;

/// Makes the database `bailiwick` where there is none.
pub async fn make_database(db: &mut PgConnection) -> Result<(), StoreFault> {
    let (exists,): (bool,) = sqlx::query_as("select exists (select from pg_database where datname = 'bailiwick')")
        .fetch_one(&mut *db)
        .await?;
    if !exists {
        sqlx::query("create database bailiwick").execute(db).await?;
    }
    Ok(())
}

/// Makes the logins `demo_broker` and `demo_auditor` where there are none.
pub async fn make_demo_logins(owner: &PgPool) -> Result<(), StoreFault> {
    for statement in LOGINS {
        sqlx::query(statement).execute(owner).await?;
    }
    Ok(())
}

const LOGINS: [&str; 2] = [
    "do $$ begin
         if not exists (select from pg_roles where rolname = 'demo_broker') then
             create role demo_broker login in role bailiwick_broker;
         end if;
     end $$",
    "do $$ begin
         if not exists (select from pg_roles where rolname = 'demo_auditor') then
             create role demo_auditor login in role bailiwick_auditor;
         end if;
     end $$",
];
