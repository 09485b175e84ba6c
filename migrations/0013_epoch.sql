-- Why: when a database is not what was published (it was restored from an older copy, or its history was changed), the
-- log goes on only after somebody has accepted that, and then as another epoch. The first entry of an epoch says who
-- accepted it and why. No tree of one epoch may continue a size that another epoch has continued already, so that a
-- broker that has not heard of the new epoch cannot add to the old one at the same time.

set local role bailiwick_owner;

create unique index head_has_one_child_ever on head (parent_size);

-- Begins an epoch with one entry, if the head is still (expected_epoch, expected_size). False: it is another by now.
create function begin_epoch(
    new_epoch bigint, expected_epoch bigint, expected_size bigint, new_batch uuid, new_broker uuid, at timestamptz,
    new_root bytea, new_edge bytea, new_hash bytea, new_leaf bytea, moment timestamptz, new_kind text,
    tile_levels smallint[], tile_indexes bigint[], tile_hashes bytea[]
) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    newest public.head;
    added  bigint;
begin
    select * into newest from public.head h order by h.epoch desc, h.size desc limit 1;
    if newest.epoch is distinct from expected_epoch or newest.size <> expected_size or at < newest.recorded_at
       or new_epoch <= newest.epoch or new_kind <> 'epoch-began' then
        return false;
    end if;

    insert into public.head (epoch, size, parent_size, origin, root, edge, hashes, batch, broker, recorded_at)
    values (new_epoch, expected_size + 1, expected_size, newest.origin, new_root, new_edge, new_hash, new_batch,
            new_broker, at)
    on conflict do nothing;
    get diagnostics added = row_count;
    if added = 0 then
        return false;
    end if;

    insert into public.entry (leaf_index, recorded_at, leaf, happened_at, kind, broker)
    values (expected_size, at, new_leaf, moment, new_kind, new_broker);

    insert into public.tile (level, tile_index, hashes)
    select t.level, t.tile_index, t.hashes
    from unnest(tile_levels, tile_indexes, tile_hashes) as t (level, tile_index, hashes);
    return true;
end
$$;

revoke execute on function begin_epoch from public;
grant  execute on function begin_epoch to bailiwick_broker;

reset role;
