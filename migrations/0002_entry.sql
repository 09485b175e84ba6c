-- Why: the audit log. The leaf bytes are the entry; every other column is derived from them for searching, and
-- verification compares each one. The head of the tree is inserted, never updated, through one function of the
-- owner's; the broker's role may add and read, nothing else.

set local role bailiwick_owner;

create table entry (
    leaf_index  bigint      not null,
    recorded_at timestamptz not null,
    leaf        bytea       not null,
    happened_at timestamptz not null,
    kind        text        not null,
    broker      uuid        not null,
    request     uuid,
    person      uuid,
    login       uuid,
    credential  uuid,
    verdict     text,
    target      text,
    constraint entry_key              primary key (leaf_index, recorded_at),
    constraint entry_index_is_natural check (leaf_index >= 0)
) partition by range (recorded_at);

create index entry_by_request on entry (request)            where request is not null;
create index entry_by_person  on entry (person, leaf_index) where person  is not null;
create index entry_by_login   on entry (login, leaf_index)  where login   is not null;
create index entry_by_broker  on entry (broker, leaf_index);

comment on table entry is 'one line of the audit log; leaf is the truth, the other columns are indexes derived from it';

-- Makes room for entries recorded in the month of `moment` and in the month after it. A new part is made by itself and
-- then attached, because that waits for no reader, while `create table ... partition of` waits for every long snapshot
-- and makes all writers wait behind it.
create function ensure_partitions(moment timestamptz) returns void
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    month_start timestamp;
    part        text;
begin
    for ahead in 0..1 loop
        month_start := date_trunc('month', moment at time zone 'UTC') + make_interval(months => ahead);
        part        := 'entry_' || to_char(month_start, 'YYYY_MM');
        if to_regclass('public.' || quote_ident(part)) is null then
            perform pg_advisory_xact_lock(hashtext('bailiwick.ensure_partitions'));
            if to_regclass('public.' || quote_ident(part)) is null then
                execute format('create table public.%I (like public.entry including defaults including constraints)', part);
                execute format('alter table public.entry attach partition public.%I for values from (%L) to (%L)',
                               part, month_start at time zone 'UTC', (month_start + interval '1 month') at time zone 'UTC');
            end if;
        end if;
    end loop;
end
$$;

-- The size of the tree after each batch, with what is needed to extend it: `edge` holds the hashes of the complete
-- subtrees from left to right, `hashes` the leaf hashes of this batch, so that other brokers can follow without reading
-- entries and verification can name one leaf. An epoch begins when an operator accepts that the log's past was cut.
create table head (
    epoch       bigint      not null,
    size        bigint      not null,
    parent_size bigint      not null,
    origin      text        not null,
    root        bytea       not null,
    edge        bytea       not null,
    hashes      bytea       not null,
    batch       uuid        not null,
    broker      uuid,
    recorded_at timestamptz not null,
    constraint head_key              primary key (epoch, size),
    constraint head_has_one_child    unique (epoch, parent_size),
    constraint head_batch_is_unique  unique (batch),
    constraint head_grows            check (size > parent_size),
    constraint head_root_is_a_hash   check (octet_length(root) = 32),
    constraint head_edge_is_hashes   check (octet_length(edge) % 32 = 0),
    constraint head_hashes_its_batch check (octet_length(hashes) = 32 * (size - greatest(parent_size, 0))),
    constraint head_epoch_is_natural check (epoch >= 0)
);

-- Complete tiles of 256 hashes (C2SP tlog-tiles), so that no proof scans the log.
create table tile (
    level      smallint not null,
    tile_index bigint   not null,
    hashes     bytea    not null,
    constraint tile_key         primary key (level, tile_index),
    constraint tile_is_complete check (octet_length(hashes) = 256 * 32)
);

create table checkpoint (
    epoch     bigint      not null,
    size      bigint      not null,
    key       uuid        not null,
    root      bytea       not null,
    note      text        not null,
    signed_at timestamptz not null,
    constraint checkpoint_key            primary key (epoch, size, key),
    constraint checkpoint_root_is_a_hash check (octet_length(root) = 32)
);

-- Founds the log with an empty tree. Returns the origin in force, which a caller compares with its own.
create function begin_log(new_origin text, first_batch uuid, at timestamptz) returns text
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    found text;
begin
    insert into public.head (epoch, size, parent_size, origin, root, edge, hashes, batch, broker, recorded_at)
    values (0, 0, -1, new_origin, sha256(''), '', '', first_batch, null, at)
    on conflict do nothing;
    select h.origin into found from public.head h order by h.epoch desc, h.size desc limit 1;
    return found;
end
$$;

-- Extends the log if, and only if, its head is still (expected_epoch, expected_size): compare and set. False: another
-- broker was faster, or time would run backwards; nothing was written. The unique parent makes the loser of a race
-- wait only for the winner's COMMIT, never for a client.
create function append_batch(
    expected_epoch bigint, expected_size bigint, new_batch uuid, new_broker uuid, at timestamptz,
    new_root bytea, new_edge bytea, new_hashes bytea,
    leaves bytea[], moments timestamptz[], kinds text[], requests uuid[], persons uuid[], logins uuid[],
    credentials uuid[], verdicts text[], targets text[],
    tile_levels smallint[], tile_indexes bigint[], tile_hashes bytea[]
) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    newest public.head;
    added  bigint;
begin
    select * into newest from public.head h order by h.epoch desc, h.size desc limit 1;
    if newest.epoch is distinct from expected_epoch or newest.size <> expected_size or at < newest.recorded_at then
        return false;
    end if;

    insert into public.head (epoch, size, parent_size, origin, root, edge, hashes, batch, broker, recorded_at)
    values (expected_epoch, expected_size + cardinality(leaves), expected_size, newest.origin, new_root, new_edge,
            new_hashes, new_batch, new_broker, at)
    on conflict do nothing;
    get diagnostics added = row_count;
    if added = 0 then
        return false;
    end if;

    insert into public.entry (leaf_index, recorded_at, leaf, happened_at, kind, broker, request, person, login,
                              credential, verdict, target)
    select expected_size + e.nth - 1, at, e.leaf, e.happened_at, e.kind, new_broker, e.request, e.person, e.login,
           e.credential, e.verdict, e.target
    from unnest(leaves, moments, kinds, requests, persons, logins, credentials, verdicts, targets) with ordinality
         as e (leaf, happened_at, kind, request, person, login, credential, verdict, target, nth);

    insert into public.tile (level, tile_index, hashes)
    select t.level, t.tile_index, t.hashes
    from unnest(tile_levels, tile_indexes, tile_hashes) as t (level, tile_index, hashes);
    return true;
end
$$;

-- A batch that belongs to a transaction with other changes. It waits here until COMMIT, and only then takes its place
-- in the log, so that the head is never locked while a client thinks. If another broker was faster, the whole
-- transaction fails with 40001 and is tried again.
create unlogged table staged_batch (
    expected_epoch bigint      not null,
    expected_size  bigint      not null,
    batch          uuid        not null,
    broker         uuid        not null,
    recorded_at    timestamptz not null,
    root           bytea       not null,
    edge           bytea       not null,
    hashes         bytea       not null,
    leaves         bytea[]       not null,
    moments        timestamptz[] not null,
    kinds          text[]        not null,
    requests       uuid[]        not null,
    persons        uuid[]        not null,
    logins         uuid[]        not null,
    credentials    uuid[]        not null,
    verdicts       text[]        not null,
    targets        text[]        not null,
    tile_levels    smallint[]    not null,
    tile_indexes   bigint[]      not null,
    tile_hashes    bytea[]       not null,
    constraint staged_batch_key primary key (batch)
);

create function append_staged_batch() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    if not public.append_batch(new.expected_epoch, new.expected_size, new.batch, new.broker, new.recorded_at, new.root,
                               new.edge, new.hashes, new.leaves, new.moments, new.kinds, new.requests, new.persons, new.logins,
                               new.credentials, new.verdicts, new.targets, new.tile_levels, new.tile_indexes,
                               new.tile_hashes) then
        raise exception 'the log has grown meanwhile' using errcode = 'serialization_failure';
    end if;
    delete from public.staged_batch s where s.batch = new.batch;
    return null;
end
$$;

create constraint trigger staged_batch_joins_the_log_at_commit
    after insert on staged_batch deferrable initially deferred
    for each row execute function append_staged_batch();

revoke execute on function ensure_partitions, begin_log, append_batch, append_staged_batch from public;
grant  execute on function ensure_partitions, begin_log, append_batch to bailiwick_broker;
grant  select  on entry, head, tile, checkpoint to bailiwick_broker, bailiwick_auditor;
grant  insert  on checkpoint, staged_batch      to bailiwick_broker;

reset role;
