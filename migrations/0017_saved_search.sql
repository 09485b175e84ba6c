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

reset role;
