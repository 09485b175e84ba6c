-- Why: four roles, so that no process holds more than its work needs. The owner defines and never serves; the broker
-- adds and reads; the auditor reads the log; maintenance clears away what has expired. None can log in by itself:
-- grant them to the accounts that your Postgres knows.

do $$
declare
    role_name text;
begin
    foreach role_name in array array['bailiwick_owner', 'bailiwick_broker', 'bailiwick_auditor', 'bailiwick_maintenance']
    loop
        if not exists (select from pg_roles where rolname = role_name) then
            begin
                execute format('create role %I nologin', role_name);
            exception when duplicate_object or unique_violation then
                null; -- roles are shared by a whole Postgres, and another database came first
            end;
        end if;
    end loop;
end
$$;

revoke create on schema public from public;
grant  usage, create on schema public to bailiwick_owner;
grant  usage         on schema public to bailiwick_broker, bailiwick_auditor, bailiwick_maintenance;
