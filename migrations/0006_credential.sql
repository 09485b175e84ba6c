-- Why: a certificate or token proves who holds it; what it reaches and whether it still counts is decided by its row
-- here, on every request.

set local role bailiwick_owner;

create table credential (
    id           uuid        not null,
    kind         text        not null,
    login        uuid        not null,
    person       uuid        not null,
    serial       bytea,
    key_hash     bytea       not null,
    scope        jsonb       not null,
    issued_at    timestamptz not null,
    not_after    timestamptz not null,
    revoked_at   timestamptz,
    revoke_cause text,
    constraint credential_key                  primary key (id),
    constraint credential_login_exists         foreign key (login)  references login (id),
    constraint credential_person_exists        foreign key (person) references person (id),
    constraint credential_serial_is_unique     unique (serial),
    constraint credential_kind_is_known        check (kind in ('certificate', 'token')),
    constraint credential_certificate_has_serial check ((kind = 'certificate') = (serial is not null)),
    constraint credential_end_has_a_cause      check ((revoked_at is null) = (revoke_cause is null))
);

create index        credential_by_login      on credential (login);
create unique index credential_token_is_unique on credential (key_hash) where kind = 'token';

create function keep_revoked() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if old.revoked_at is not null then
        raise exception 'a credential that was revoked stays revoked' using errcode = 'check_violation';
    end if;
    return new;
end
$$;

create trigger credential_stays_revoked before update on credential
    for each row execute function keep_revoked();

grant select, insert                     on credential to bailiwick_broker;
grant update (revoked_at, revoke_cause)  on credential to bailiwick_broker;
grant select (id, kind, login, person, serial, scope, issued_at, not_after, revoked_at, revoke_cause)
                                         on credential to bailiwick_auditor;

reset role;
