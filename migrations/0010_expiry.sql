-- Why: what has expired is cleared away once a minute, so it must be found without reading all that has not. Sessions,
-- ceremonies and logins have such an index already; the one-time codes get theirs.

set local role bailiwick_owner;

create index handover_by_expiry           on handover (expires_at);
create index command_line_grant_by_expiry on command_line_grant (expires_at);

reset role;
