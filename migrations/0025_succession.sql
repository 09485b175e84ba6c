-- Why: whoever holds an older key of the log follows it to the newest by the entries in which each key vouches for the
-- next, and learns from others that the log's past was cut. These few must be heard after their month was archived and
-- dropped, so their bodies stay. Nothing here is believed by itself: what counts is that its hash is the tree's.

set local role bailiwick_owner;

create table succession (
    leaf_index bigint not null,
    leaf       bytea  not null,
    constraint succession_key              primary key (leaf_index),
    constraint succession_index_is_natural check (leaf_index >= 0)
);

comment on table succession is 'entries about keys and epochs whose months were dropped';

-- Finds them among the entries that are still there.
create index entry_of_succession on entry (leaf_index) where kind in ('key-rotated', 'epoch-began');

-- The same as before, and keeps these bodies.
create or replace function drop_archived(part_name text, at timestamptz) returns void
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
    execute format('insert into public.succession (leaf_index, leaf)
                    select leaf_index, leaf from public.%I where kind in (''key-rotated'', ''epoch-began'')
                        on conflict do nothing', part_name);
    execute format('alter table public.entry detach partition public.%I', part_name);
    execute format('drop table public.%I', part_name);
    update public.archive a set dropped_at = at where a.part = part_name;
end
$$;

grant select on succession to bailiwick_broker, bailiwick_auditor;

reset role;
