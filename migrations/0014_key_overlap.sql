-- Why: keys that sign checkpoints rotate. For a while the retired key signs along with the new one, so that auditors and
-- witnesses who know only the old one have time to take up the new, for which the old one vouches in the log.

set local role bailiwick_owner;

alter table key add column signs_until timestamptz;

grant update (signs_until) on key to bailiwick_broker;
grant select (signs_until) on key to bailiwick_auditor;

reset role;
