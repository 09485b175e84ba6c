-- Why: a reading is staged by whoever has an auditor's account, and each becomes an entry that is kept for years. Only how
-- many may wait was bounded, and brokers record them as fast as they come. Now an account may stage 600 in a minute.

set local role bailiwick_owner;

create index reading_of_account on reading (account, staged_at);

-- INVARIANT: who reads, from where and when is what the server knows, never what a caller says.
create or replace function stage_reading(
    reading uuid, command text, search text, entries bigint, manifest text, client text
) returns void
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    waiting bigint;
    lately  bigint;
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
    -- Whoever counts sees what was counted in before.
    perform pg_advisory_xact_lock(hashtextextended(session_user::text, 27));
    select count(*) into lately
      from (select from public.reading r
             where r.account = session_user and r.staged_at > clock_timestamp() - interval '1 minute' limit 600) r;
    -- What has begun may end, and what was said may be said again.
    if lately >= 600 and not exists (select from public.reading r
                                      where r.id = stage_reading.reading and r.account = session_user) then
        raise exception '% has read 600 times within a minute', session_user
            using errcode = 'configuration_limit_exceeded';
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

reset role;
