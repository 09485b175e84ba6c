-- Why: entries that are old enough leave the database in bundles that prove themselves, and their months are dropped.
-- Hashes, heads and checkpoints stay, so the tree stays verifiable. The broker's role can do none of this: only the
-- owner drops, and only what this table says was archived whole.

set local role bailiwick_owner;

create table archive (
    part        text        not null,
    from_index  bigint      not null,
    until_index bigint      not null,
    file        text        not null,
    sha256      bytea       not null,
    archived_at timestamptz not null,
    dropped_at  timestamptz,
    constraint archive_key             primary key (part),
    constraint archive_starts_once     unique (from_index),
    constraint archive_holds_something check (from_index >= 0 and until_index > from_index),
    constraint archive_sha256_is_one   check (octet_length(sha256) = 32)
);

comment on table archive is 'which months of the log were archived, where to, and when they were dropped';

-- Drops a month that was archived. Refuses one that holds an entry outside of what its archive holds, or fewer.
create function drop_archived(part_name text, at timestamptz) returns void
    language plpgsql set search_path = pg_catalog, public, pg_temp as $$
declare
    kept    public.archive;
    inside  bigint;
    outside bigint;
begin
    select * into kept from public.archive a where a.part = part_name and a.dropped_at is null for update;
    if not found then
        raise exception '% was not archived, or is gone already', part_name using errcode = 'check_violation';
    end if;
    execute format('select count(*) filter (where leaf_index >= $1 and leaf_index < $2),
                           count(*) filter (where leaf_index < $1 or leaf_index >= $2)
                      from public.%I', part_name)
       into inside, outside using kept.from_index, kept.until_index;
    if inside <> kept.until_index - kept.from_index or outside > 0 then
        raise exception '% is not what was archived of it', part_name using errcode = 'check_violation';
    end if;
    execute format('alter table public.entry detach partition public.%I', part_name);
    execute format('drop table public.%I', part_name);
    update public.archive a set dropped_at = at where a.part = part_name;
end
$$;

revoke execute on function drop_archived from public;
grant  select  on archive to bailiwick_broker, bailiwick_auditor;

reset role;
