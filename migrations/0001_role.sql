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

-- Whoever migrates works as the owner. An account that may create roles but is no superuser takes the membership first.
do $$
begin
    set local role bailiwick_owner;
    reset role;
exception when insufficient_privilege then
    execute format('grant bailiwick_owner to %I', current_user);
end
$$;

revoke create on schema public from public;
grant  usage, create on schema public to bailiwick_owner;
grant  usage         on schema public to bailiwick_broker, bailiwick_auditor, bailiwick_maintenance;
