//! The migrations, run over a real Postgres.

use crate::support;

#[tokio::test]
async fn the_roles_can_log_in_and_only_read_what_they_should() {
    let db = support::database().await;
    let (who,): (String,) = sqlx::query_as("select current_user::text").fetch_one(&db.pool).await.unwrap();
    assert_eq!(who, "bailiwick_broker");
    let (entries,): (i64,) = sqlx::query_as("select count(*) from entry").fetch_one(&db.pool).await.unwrap();
    assert_eq!(entries, 0);
    assert!(sqlx::query("delete from head").execute(&db.pool).await.is_err());
    let auditor = db.another_pool("bailiwick_auditor");
    assert!(sqlx::query("insert into entry default values").execute(&auditor).await.is_err());
    let (on,): (String,) = sqlx::query_as("select current_setting('fsync')").fetch_one(&db.pool).await.unwrap();
    assert_eq!(on, "on");
}
