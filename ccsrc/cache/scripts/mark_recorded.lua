-- JobStore::MarkRecorded: the iteration is written down.
-- KEYS: instance, summary
-- ARGV: 1 instance, 2 iteration, 3 expiry of the row (ms)
-- Answer: 1, or 0 when it was recorded before
--include publish
local first = redis.call('HSETNX', KEYS[2], 'recorded', 1)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if first == 1 then publish('recorded', ARGV[1], ARGV[2]) end
return first
