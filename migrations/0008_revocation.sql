-- Why: the feed that tells every broker what has ended. Positions are given at COMMIT, under a lock, so that a reader
-- who has seen position n has seen all before it; the notification is only a hint to look sooner.

set local role bailiwick_owner;

create table feed (
    only_row boolean not null default true,
    position bigint  not null,
    constraint feed_key        primary key (only_row),
    constraint feed_has_one_row check (only_row)
);

insert into feed (position) values (0);

create table revocation (
    id       uuid        not null,
    position bigint,
    kind     text        not null,
    target   uuid        not null,
    cause    text        not null,
    at       timestamptz not null,
    constraint revocation_key                primary key (id),
    constraint revocation_position_is_unique unique (position),
    constraint revocation_kind_is_known      check (kind in ('login', 'credential', 'app-session', 'person'))
);

create function place_revocation() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    next_position bigint;
begin
    update public.feed set position = position + 1 returning position into next_position;
    update public.revocation r set position = next_position where r.id = new.id;
    perform pg_notify('bailiwick_revocation', next_position::text);
    return null;
end
$$;

create constraint trigger revocation_takes_its_place_at_commit
    after insert on revocation deferrable initially deferred
    for each row execute function place_revocation();

revoke execute on function place_revocation from public;
grant  select  on feed, revocation to bailiwick_broker;
grant  insert (id, kind, target, cause, at) on revocation to bailiwick_broker;
grant  select  on revocation to bailiwick_auditor;

reset role;
