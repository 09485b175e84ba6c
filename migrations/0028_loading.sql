-- Why: a broker that starts with other rules than were last put in force says which those were. The newest entry that tells
-- of rules is found without reading back through a log that may be long.

set local role bailiwick_owner;

create index entry_of_loading on entry (leaf_index) where kind = 'policy-loaded';

reset role;
