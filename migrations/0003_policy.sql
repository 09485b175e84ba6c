-- Why: every decision names the texts it was made under by their SHA-256, so the texts themselves are kept for as long
-- as the log is. A text is written once and never changes.

set local role bailiwick_owner;

create table policy_text (
    hash            bytea       not null,
    kind            text        not null,
    body            text        not null,
    first_loaded_at timestamptz not null,
    constraint policy_text_key           primary key (kind, hash),
    constraint policy_text_kind_is_known check (kind in ('policies', 'entities', 'schema')),
    constraint policy_text_hash_is_true  check (hash = sha256(convert_to(body, 'UTF8')))
);

grant select, insert on policy_text to bailiwick_broker;
grant select         on policy_text to bailiwick_auditor;

reset role;
