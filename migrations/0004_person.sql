-- Why: who people are. The key is (issuer, subject) and never an e-mail address; the passkeys belong to one person
-- each. `enrolled_at` is set by the first passkey and never cleared, so that losing every passkey does not reopen
-- enrolment.

set local role bailiwick_owner;

create table person (
    id            uuid        not null,
    issuer        text        not null,
    subject       text        not null,
    provider      text        not null,
    name          text        not null,
    user_handle   uuid        not null,
    first_seen_at timestamptz not null,
    enrolled_at   timestamptz,
    constraint person_key                   primary key (id),
    constraint person_is_issuer_and_subject unique (issuer, subject),
    constraint person_handle_is_unique      unique (user_handle)
);

create function keep_enrolment() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if old.enrolled_at is not null and new.enrolled_at is distinct from old.enrolled_at then
        raise exception 'enrolled_at is set once' using errcode = 'check_violation';
    end if;
    if (new.issuer, new.subject, new.user_handle) is distinct from (old.issuer, old.subject, old.user_handle) then
        raise exception 'a person does not change identity' using errcode = 'check_violation';
    end if;
    return new;
end
$$;

create trigger person_keeps_enrolment before update on person
    for each row execute function keep_enrolment();

create table passkey (
    id            uuid        not null,
    person        uuid        not null,
    rp_id         text        not null,
    credential_id bytea       not null,
    state         jsonb       not null,
    counter       bigint      not null,
    label         text        not null,
    created_at    timestamptz not null,
    used_at       timestamptz,
    removed_at    timestamptz,
    constraint passkey_key                  primary key (id),
    constraint passkey_person_exists        foreign key (person) references person (id),
    constraint passkey_belongs_to_one       unique (credential_id),
    constraint passkey_counter_is_natural   check (counter >= 0)
);

create index passkey_by_person on passkey (person);

create table invitation (
    id         uuid        not null,
    issuer     text        not null,
    subject    text        not null,
    invited_by uuid,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at    timestamptz,
    constraint invitation_key            primary key (id),
    constraint invitation_inviter_exists foreign key (invited_by) references person (id)
);

create index invitation_by_identity on invitation (issuer, subject) where used_at is null;

grant select, insert on person, passkey, invitation to bailiwick_broker;
grant update (name, provider, enrolled_at)               on person     to bailiwick_broker;
grant update (state, counter, label, used_at, removed_at) on passkey    to bailiwick_broker;
grant update (used_at)                                   on invitation to bailiwick_broker;
grant select (id, issuer, subject, provider, name, first_seen_at, enrolled_at) on person to bailiwick_auditor;

reset role;
