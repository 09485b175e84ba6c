-- Why: reviewers search ten million entries and more, so every filter needs an index, and appending must pay nothing for
-- it. The index is built behind the log, once for each complete block of 1,024 leaves, from nothing but leaf bytes, and
-- its rows are never changed. It is no truth: whatever it finds is checked against the bytes, and anyone can derive it
-- again.

set local role bailiwick_owner;

-- `moments` holds when each leaf was recorded, as runs; `allowed` and `denied` say which leaves let something pass or
-- refused it. Its row comes in the transaction of its postings, so a block is there whole or not at all.
create table search_block (
    block             bigint      not null,
    first_recorded_at timestamptz not null,
    last_recorded_at  timestamptz not null,
    leaves            smallint    not null,
    postings          integer     not null,
    allowed           bytea       not null,
    denied            bytea       not null,
    moments           bytea       not null,
    constraint search_block_key              primary key (block),
    constraint search_block_is_natural       check (block >= 0),
    constraint search_block_fits             check (leaves between 0 and 1024),
    constraint search_block_goes_forward     check (first_recorded_at <= last_recorded_at),
    constraint search_block_marks_its_leaves check (octet_length(allowed) <= 128 and octet_length(denied) <= 128)
);

create index search_block_by_time on search_block (last_recorded_at, block);

-- Which leaves of a block carry a term. `term` is the first 64 bits of SHA-256 over field and value: a collision costs a
-- look at an entry that does not match, never a missed one. `bits` lists up to 63 places of two bytes, or is a map of
-- 128 bytes; it lies in the index as well, so that a term is read from neighbouring pages.
create table posting (
    term  bigint not null,
    block bigint not null,
    bits  bytea  not null,
    constraint posting_key          primary key (term, block) include (bits),
    constraint posting_is_not_empty check (octet_length(bits) between 2 and 128)
);

comment on table posting is 'derived from leaf bytes for searching; nothing here is evidence';

grant select, insert on search_block, posting to bailiwick_broker;
grant select         on search_block, posting to bailiwick_auditor;

reset role;
