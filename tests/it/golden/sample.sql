-- One row of everything, as a broker would have written it before an upgrade.
insert into person (id, issuer, subject, provider, name, user_handle, first_seen_at, enrolled_at)
values ('00000000-0000-4000-8000-000000000001', 'https://idp.example', 'alice', 'corp', 'Alice', '00000000-0000-4000-8000-0000000000a1', '2026-11-01', '2026-11-01');
insert into passkey (id, person, rp_id, credential_id, state, counter, label, created_at)
values ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001', 'auth.example', '\x01', '{}', 1, 'laptop', '2026-11-01');
insert into invitation (id, issuer, subject, invited_by, created_at, expires_at)
values ('00000000-0000-4000-8000-000000000003', 'https://idp.example', 'bob', '00000000-0000-4000-8000-000000000001', '2026-11-01', '2026-11-02');
insert into login (id, person, level, assured_at, groups, acr, provider_session, address, agent, started_at, active_at, expires_at)
values ('00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000001', 'passkey', '2026-11-01', '{devs}', null, 'sid', '192.0.2.1', 'agent', '2026-11-01', '2026-11-01', '2026-11-02');
insert into session (id_hash, login, record, created_at, expires_at)
values ('\x02', '00000000-0000-4000-8000-000000000004', '{}', '2026-11-01', '2026-11-02');
insert into ceremony (id, login, purpose, state, created_at, expires_at)
values ('00000000-0000-4000-8000-000000000005', null, 'sign-in', '{}', '2026-11-01', '2026-11-01 00:05');
insert into app_session (id, id_hash, login, app, created_at)
values ('00000000-0000-4000-8000-000000000006', '\x03', '00000000-0000-4000-8000-000000000004', 'wiki', '2026-11-01');
insert into handover (code_hash, nonce_hash, login, app, return_to, expires_at)
values ('\x04', '\x05', '00000000-0000-4000-8000-000000000004', 'wiki', '/', '2026-11-01 00:01');
insert into command_line_grant (code_hash, challenge, login, expires_at)
values ('\x06', 'challenge', '00000000-0000-4000-8000-000000000004', '2026-11-01 00:01');
insert into credential (id, kind, login, person, serial, key_hash, scope, issued_at, not_after)
values ('00000000-0000-4000-8000-000000000007', 'certificate', '00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000001', '\x07', '\x08', '{}', '2026-11-01', '2026-11-01 01:00');
insert into key (id, purpose, state, public, wrapped, created_at)
values ('00000000-0000-4000-8000-000000000008', 'checkpoint', 'active', '\x09', '\x0a', '2026-11-01');
insert into policy_text (hash, kind, body, first_loaded_at)
values (sha256('text'), 'policies', 'text', '2026-11-01');
insert into broker (id, started_at, seen_at) values ('00000000-0000-4000-8000-000000000009', '2026-11-01', '2026-11-01');
insert into revocation (id, kind, target, cause, at)
values ('00000000-0000-4000-8000-00000000000a', 'login', '00000000-0000-4000-8000-000000000004', 'signed out', '2026-11-01');
select begin_log('auth.example/audit', '00000000-0000-4000-8000-00000000000b', '2026-11-01');
select ensure_partitions('2026-11-01');
select append_batch(0, 0, '00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-000000000009', '2026-11-01',
                    sha256('\x00'), sha256('\x00'), sha256('\x00'), array['\x00'::bytea], array['2026-11-01'::timestamptz], array['decision'],
                    array[null::uuid], array['00000000-0000-4000-8000-000000000001'::uuid], array[null::uuid],
                    array[null::uuid], array['allow'], array['GET wiki/'], '{}', '{}', '{}');
insert into tile (level, tile_index, hashes) values (0, 0, decode(repeat('00', 8192), 'hex'));
insert into export_manifest (sha256, person, body, made_at)
values (sha256('{}'), '00000000-0000-4000-8000-000000000001', '{}', '2026-11-01');
insert into saved_search (person, name, search, saved_at)
values ('00000000-0000-4000-8000-000000000001', 'denials', 'verdict=deny', '2026-11-01');
insert into checkpoint (epoch, size, key, root, note, signed_at)
values (0, 1, '00000000-0000-4000-8000-000000000008', sha256('\x00'), 'note', '2026-11-01');
insert into search_block (block, first_recorded_at, last_recorded_at, leaves, postings, allowed, denied, moments)
values (0, '2026-11-01', '2026-11-01', 1, 1, '\x0000', '', '\x008008');
insert into posting (term, block, bits) values (-1, 0, '\x0000');
update login set assured_at = '2026-11-01' where id = '00000000-0000-4000-8000-000000000004';
insert into archive (part, from_index, until_index, file, sha256, archived_at)
values ('entry_2026_11', 0, 1, 'entry_2026_11_0-0.jsonl', sha256('x'), '2026-11-01');
insert into collector_cursor (name, epoch, next_leaf, created_at) values ('siem', 0, 1, '2026-11-01');
insert into collector_skip (collector, epoch, from_leaf, until_leaf, why, at) values ('siem', 0, 0, 1, 'HTTP 400', '2026-11-01');
select stage_reading('00000000-0000-4000-8000-00000000000d', 'search', 'verdict=deny', 7, null, 'bailiwick 0.1.0');
insert into succession (leaf_index, leaf) values (0, '\x00');
