-- Why: whoever reads entries on the command line does so with an account that can write nothing, and it must be in the log
-- all the same. Such an account says here that it is about to read, through a function that fixes who it is and when, and
-- a broker turns each row into an entry. A row is kept for a while after that, so that saying it twice makes one entry.

set local role bailiwick_owner;

create table reading (
    id          uuid        not null,
    is_end      boolean     not null,
    account     text        not null,
    address     text,
    client      text        not null,
    command     text        not null,
    search      text        not null,
    entries     bigint,
    manifest    text,
    staged_at   timestamptz not null,
    recorded_at timestamptz,
    constraint reading_key                primary key (id, is_end),
    constraint reading_end_has_manifest   check (is_end = (manifest is not null)),
    constraint reading_client_is_short    check (char_length(client) between 1 and 100),
    constraint reading_command_is_known   check (command in ('search', 'tail', 'follow', 'export', 'bundle')),
    constraint reading_search_is_short    check (char_length(search) <= 4000),
    constraint reading_entries_is_natural check (entries >= 0),
    constraint reading_manifest_is_sha256 check (manifest ~ '^[0-9a-f]{64}$')
);

comment on table reading is 'entries that are about to be read on the command line; recorded_at once the log has it';

create index reading_to_record on reading (staged_at) where recorded_at is null;
create index reading_recorded  on reading (recorded_at) where recorded_at is not null;
create index reading_of_account_to_record on reading (account) where recorded_at is null;

-- INVARIANT: who reads, from where and when is what the server knows, never what a caller says.
create function stage_reading(
    reading uuid, command text, search text, entries bigint, manifest text, client text
) returns void
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    waiting bigint;
    there   public.reading;
begin
    -- Said durably before anything is read, whatever the session was told.
    if current_setting('synchronous_commit') in ('off', 'local') then
        perform set_config('synchronous_commit', 'on', true);
    end if;
    select count(*) into waiting
      from (select from public.reading r where r.account = session_user and r.recorded_at is null limit 1000) r;
    if waiting >= 1000 then
        raise exception '1000 readings of % wait for a broker to record them', session_user
            using errcode = 'program_limit_exceeded';
    end if;
    insert into public.reading (id, is_end, account, address, client, command, search, entries, manifest, staged_at)
    values (reading, manifest is not null, session_user, host(inet_client_addr()), client, command, search, entries,
            manifest, clock_timestamp())
        on conflict on constraint reading_key do nothing;
    if not found then
        select * into there from public.reading r where r.id = reading and r.is_end = (stage_reading.manifest is not null);
        if (there.account, there.client, there.command, there.search, there.entries, there.manifest)
               is distinct from
           (session_user::text, stage_reading.client, stage_reading.command, stage_reading.search,
            stage_reading.entries, stage_reading.manifest) then
            raise exception 'another reading has this id' using errcode = 'unique_violation';
        end if;
    end if;
end
$$;

revoke execute on function stage_reading from public;
grant  execute on function stage_reading to bailiwick_auditor, bailiwick_broker;

grant select, delete       on reading to bailiwick_broker;
grant update (recorded_at) on reading to bailiwick_broker;

reset role;
