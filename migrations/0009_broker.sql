-- Why: which brokers are running. One that stops saying so has died, and another closes the entries that it left open:
-- none of them lies before `open_from`, so the search does not read the whole log.

set local role bailiwick_owner;

create table broker (
    id         uuid        not null,
    started_at timestamptz not null,
    seen_at    timestamptz not null,
    stopped_at timestamptz,
    open_from  bigint      not null default 0,
    swept_at   timestamptz,
    constraint broker_key primary key (id)
);

grant select, insert                           on broker to bailiwick_broker;
grant update (seen_at, stopped_at, swept_at, open_from) on broker to bailiwick_broker;
grant select                                   on broker to bailiwick_auditor;

reset role;
