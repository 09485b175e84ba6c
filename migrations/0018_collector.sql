-- Why: entries go out to collectors at least once. How far each has got is kept here, beside the log, so that neither
-- an outage of a collector nor the death of a broker loses an entry. One broker ships to a collector at a time: it holds
-- the row for a while, and `fence` grows with each holder, so that one that was paused cannot move the cursor back in.

set local role bailiwick_owner;

create table collector_cursor (
    name        text        not null,
    epoch       bigint      not null,
    next_leaf   bigint      not null,
    fence       bigint      not null default 0,
    holder      uuid,
    held_until  timestamptz,
    shipped     bigint      not null default 0,
    skipped     bigint      not null default 0,
    created_at  timestamptz not null,
    advanced_at timestamptz,
    failed_at   timestamptz,
    fault       text,
    constraint collector_cursor_key             primary key (name),
    constraint collector_cursor_is_natural      check (epoch >= 0 and next_leaf >= 0 and fence >= 0),
    constraint collector_cursor_fault_has_time  check ((fault is null) = (failed_at is null)),
    constraint collector_cursor_holder_has_time check ((holder is null) = (held_until is null))
);

comment on table collector_cursor is 'how far the entries of the log have got to each collector; next_leaf goes next';

-- Entries that a collector did not get: refused by it, and left out by `on_reject = "skip"`, or gone from the database.
create table collector_skip (
    collector  text        not null,
    epoch      bigint      not null,
    from_leaf  bigint      not null,
    until_leaf bigint      not null,
    why        text        not null,
    at         timestamptz not null,
    constraint collector_skip_key      primary key (collector, epoch, from_leaf),
    constraint collector_skip_is_range check (from_leaf >= 0 and until_leaf > from_leaf)
);

grant select, insert on collector_cursor, collector_skip to bailiwick_broker;
grant update (epoch, next_leaf, fence, holder, held_until, shipped, skipped, advanced_at, failed_at, fault)
                     on collector_cursor                 to bailiwick_broker;
grant select         on collector_cursor, collector_skip to bailiwick_auditor;
-- Retention asks how far the entries have got before it removes any.
grant select         on collector_cursor                 to bailiwick_maintenance;

reset role;
