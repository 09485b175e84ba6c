-- Why: a login is the one thing that everything else hangs on: assurance, limits and revocation live in its row and
-- never in the session's bag, where the last write wins. Sessions, app sessions, codes and tokens are stored by hash
-- only, so that a copy of this table opens nothing.

set local role bailiwick_owner;

create table login (
    id               uuid        not null,
    person           uuid        not null,
    level            text        not null,
    assured_at       timestamptz not null,
    groups           text[]      not null,
    acr              text,
    provider_session text,
    address          text        not null,
    agent            text        not null,
    started_at       timestamptz not null,
    active_at        timestamptz not null,
    expires_at       timestamptz not null,
    ended_at         timestamptz,
    end_cause        text,
    constraint login_key                   primary key (id),
    constraint login_person_exists         foreign key (person) references person (id),
    constraint login_level_is_known        check (level in ('provider', 'passkey')),
    constraint login_end_has_a_cause       check ((ended_at is null) = (end_cause is null))
);

create index login_by_person on login (person);
create index login_open      on login (expires_at) where ended_at is null;

create function keep_ended() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if old.ended_at is not null then
        raise exception 'a login that has ended stays ended' using errcode = 'check_violation';
    end if;
    return new;
end
$$;

create trigger login_stays_ended before update on login
    for each row execute function keep_ended();

create table session (
    id_hash    bytea       not null,
    login      uuid,
    record     jsonb       not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    constraint session_key          primary key (id_hash),
    constraint session_login_exists foreign key (login) references login (id)
);

create index session_by_expiry on session (expires_at);

-- What a sign-in or passkey ceremony must remember between its two halves: single use, short-lived.
create table ceremony (
    id         uuid        not null,
    login      uuid,
    purpose    text        not null,
    state      jsonb       not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    constraint ceremony_key              primary key (id),
    constraint ceremony_login_exists     foreign key (login) references login (id),
    constraint ceremony_purpose_is_known check (purpose in ('sign-in', 'enrol', 'assert'))
);

create index ceremony_by_expiry on ceremony (expires_at);

create table app_session (
    id         uuid        not null,
    id_hash    bytea       not null,
    login      uuid        not null,
    app        text        not null,
    created_at timestamptz not null,
    ended_at   timestamptz,
    constraint app_session_key            primary key (id),
    constraint app_session_hash_is_unique unique (id_hash),
    constraint app_session_login_exists   foreign key (login) references login (id)
);

-- A one-time code that carries a login from the portal to an app's host. Worthless without the nonce cookie.
create table handover (
    code_hash  bytea       not null,
    nonce_hash bytea       not null,
    login      uuid        not null,
    app        text        not null,
    return_to  text        not null,
    expires_at timestamptz not null,
    constraint handover_key          primary key (code_hash),
    constraint handover_login_exists foreign key (login) references login (id)
);

-- A one-time code that the command line exchanges for a token (RFC 8252, RFC 7636).
create table command_line_grant (
    code_hash  bytea       not null,
    challenge  text        not null,
    login      uuid        not null,
    expires_at timestamptz not null,
    constraint command_line_grant_key          primary key (code_hash),
    constraint command_line_grant_login_exists foreign key (login) references login (id)
);

grant select, insert                  on login, app_session                    to bailiwick_broker;
grant select, insert, update, delete  on session                               to bailiwick_broker;
grant select, insert, delete          on ceremony, handover, command_line_grant to bailiwick_broker;
grant update (level, assured_at, active_at, ended_at, end_cause) on login       to bailiwick_broker;
grant update (ended_at)                                          on app_session to bailiwick_broker;
grant select (id_hash, expires_at), delete   on session            to bailiwick_maintenance;
grant select (id, expires_at), delete        on ceremony           to bailiwick_maintenance;
grant select (code_hash, expires_at), delete on handover           to bailiwick_maintenance;
grant select (code_hash, expires_at), delete on command_line_grant to bailiwick_maintenance;
grant select                                 on login              to bailiwick_auditor;

reset role;
