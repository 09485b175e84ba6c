-- Why: brokers remember who a caller is from one request to the next, so they must learn of every change to what a caller
-- is made of, whoever makes it: a passkey shown again, a person's new name, a row that somebody ends by hand. What has
-- ended, and why, is in `revocation`; that a row is another now is here, once for each row, with the position of its
-- newest change. Positions come from the same feed, at COMMIT and under the same lock. An older binary knows nothing of
-- this table: it reads the rows each time.

set local role bailiwick_owner;

create table change (
    target   uuid   not null,
    position bigint not null,
    constraint change_key                primary key (target),
    constraint change_position_is_unique unique (position)
);

create function place_change() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    next_position bigint;
begin
    update public.feed set position = position + 1 returning position into next_position;
    insert into public.change (target, position) values (new.id, next_position)
        on conflict on constraint change_key do update set position = excluded.position;
    perform pg_notify('bailiwick_revocation', next_position::text);
    return null;
end
$$;

-- `active_at` is not among them: it is written once a minute for everybody who is at work.
create constraint trigger login_change_takes_its_place_at_commit
    after update of person, level, assured_at, groups, acr, expires_at, ended_at on login deferrable initially deferred
    for each row execute function place_change();

-- Written at every sign-in, mostly with what was there before.
create constraint trigger person_change_takes_its_place_at_commit
    after update of provider, name on person deferrable initially deferred
    for each row when ((old.provider, old.name) is distinct from (new.provider, new.name))
    execute function place_change();

create constraint trigger app_session_change_takes_its_place_at_commit
    after update on app_session deferrable initially deferred
    for each row execute function place_change();

create constraint trigger credential_change_takes_its_place_at_commit
    after update on credential deferrable initially deferred
    for each row execute function place_change();

revoke execute on function place_change from public;
grant  select  on change to bailiwick_broker;

reset role;
