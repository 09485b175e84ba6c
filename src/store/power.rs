//! What the connected role could do to the log. Privileges are checked as Postgres sees them, through every membership,
//! because a broker that can rewrite history proves nothing by keeping it.

use sqlx::PgPool;

use super::StoreFault;

/// Refuses a session that could update, delete or truncate what was recorded, or become a role that can.
///
/// Asks about the account that logged in, since `set role` can be undone.
pub async fn refuse_power_over_the_log(pool: &PgPool) -> Result<(), StoreFault> {
    let account: (String, bool, bool) = sqlx::query_as(
        "select r.rolname::text,
                r.rolsuper,
                coalesce((select pg_has_role(session_user, o.oid, 'member')
                            from pg_roles o
                           where o.rolname = 'bailiwick_owner'), false)
           from pg_roles r
          where r.rolname = session_user",
    )
    .fetch_one(pool)
    .await?;
    let (name, is_superuser, is_owner) = account;
    if is_superuser {
        return Err(StoreFault::TooMuchPower(format!("`{name}` is a superuser")));
    }
    if is_owner {
        return Err(StoreFault::TooMuchPower(format!("`{name}` is a member of bailiwick_owner")));
    }
    let reach: Vec<(String,)> = sqlx::query_as(
        "with recorded as (
             select c.oid, c.relname
               from pg_class     c
               join pg_namespace n on n.oid = c.relnamespace
              where n.nspname = 'public'
                and (c.relname in ('entry', 'head', 'tile', 'checkpoint', 'policy_text', 'search_block', 'posting')
                     or exists (select from pg_inherits i
                                 where i.inhrelid = c.oid and i.inhparent = to_regclass('public.entry')))
         )
         select relname::text
           from recorded
          where has_table_privilege(session_user, oid, 'update, delete, truncate')
             or has_any_column_privilege(session_user, oid, 'update')
          order by relname",
    )
    .fetch_all(pool)
    .await?;
    match reach.first() {
        None => Ok(()),
        Some((table,)) => Err(StoreFault::TooMuchPower(format!("`{name}` could change or remove rows of {table}"))),
    }
}
