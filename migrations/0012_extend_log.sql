-- Why: a broker that another one was faster than had to ask three more times before it could try again, and was late
-- again. Now the refusal brings what is to be followed along, so that brokers on one database take turns.

set local role bailiwick_owner;

-- As `append_batch`. No row: the batch is in the log. Otherwise it is not, and the rows are the batches that came after
-- the expected head, oldest first; the first one may be this very batch, which was committed before. When none came
-- after it, the row is the newest head, whatever that is.
create function extend_log(
    expected_epoch bigint, expected_size bigint, new_batch uuid, new_broker uuid, at timestamptz,
    new_root bytea, new_edge bytea, new_hashes bytea,
    leaves bytea[], moments timestamptz[], kinds text[], requests uuid[], persons uuid[], logins uuid[],
    credentials uuid[], verdicts text[], targets text[],
    tile_levels smallint[], tile_indexes bigint[], tile_hashes bytea[]
) returns setof head
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    if public.append_batch(expected_epoch, expected_size, new_batch, new_broker, at, new_root, new_edge, new_hashes,
                           leaves, moments, kinds, requests, persons, logins, credentials, verdicts, targets,
                           tile_levels, tile_indexes, tile_hashes) then
        return;
    end if;
    return query select * from public.head h
                  where h.epoch = expected_epoch and h.size > expected_size
                  order by h.size
                  limit 64;
    if not found then
        return query select * from public.head h order by h.epoch desc, h.size desc limit 1;
    end if;
end
$$;

revoke execute on function extend_log from public;
grant  execute on function extend_log to bailiwick_broker;

reset role;
