-- Why: searches of the audit log that people keep under a name. They are the portal's convenience, not evidence: who kept
-- which, and what it was before, is in the log, in the same transaction.

set local role bailiwick_owner;

create table saved_search (
    person   uuid        not null,
    name     text        not null,
    search   text        not null,
    saved_at timestamptz not null,
    constraint saved_search_key           primary key (person, name),
    constraint saved_search_person_exists foreign key (person) references person (id),
    constraint saved_search_name_is_short check (char_length(name) between 1 and 60),
    constraint saved_search_is_short      check (char_length(search) <= 4000)
);

comment on table saved_search is 'a search of the audit log that a person kept under a name, as in the page''s address';

grant select, insert, delete on saved_search to bailiwick_broker;

-- What the log says of an export is the hash of its manifest; the manifest itself is kept for whoever exported, beside
-- the file that they have.
create table export_manifest (
    sha256  bytea       not null,
    person  uuid        not null,
    body    text        not null,
    made_at timestamptz not null,
    constraint export_manifest_key           primary key (sha256, person),
    constraint export_manifest_is_its_hash   check (sha256 = sha256(convert_to(body, 'UTF8'))),
    constraint export_manifest_person_exists foreign key (person) references person (id)
);

comment on table export_manifest is 'what an export from the portal said about itself, as hashed in the log';

grant select, insert on export_manifest to bailiwick_broker;

reset role;
