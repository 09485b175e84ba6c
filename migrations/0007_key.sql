-- Why: the broker's own signing keys. The private half is wrapped with a key that the database never sees, so a dump
-- signs nothing; the public half and a certificate are here for whoever verifies.

set local role bailiwick_owner;

create table key (
    id          uuid        not null,
    purpose     text        not null,
    state       text        not null,
    public      bytea       not null,
    wrapped     bytea       not null,
    certificate bytea,
    created_at  timestamptz not null,
    retired_at  timestamptz,
    constraint key_key              primary key (id),
    constraint key_purpose_is_known check (purpose in ('authority', 'checkpoint', 'token')),
    constraint key_state_is_known   check (state in ('active', 'retiring', 'retired'))
);

create unique index key_one_active_per_purpose on key (purpose) where state = 'active';

grant select, insert             on key to bailiwick_broker;
grant update (state, retired_at) on key to bailiwick_broker;
grant select (id, purpose, state, public, certificate, created_at, retired_at) on key to bailiwick_auditor;

reset role;
