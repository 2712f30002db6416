-- JobStore::SetHolders: who else has all of a part.
-- KEYS: instance, status, nodes, round
-- ARGV: 1 instance, 2 iteration, 3 part, 4 node id and 5 epoch of its owner, 6 expiry of the rows (ms), 7.. node ids
-- Answer: verdict
--include part
local DONE, MOVED, FENCED, NOT_LISTED = 0, 1, 2, 3

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return MOVED end
local status = redis.call('HMGET', KEYS[2], 'iteration', 'state')
if status[1] ~= ARGV[2] or status[2] ~= '0' then return MOVED end
if owner_of(read_round(KEYS[4]), ARGV[3]) ~= ARGV[4] then return FENCED end
local node = redis.call('HGET', KEYS[3], ARGV[4])
if not node or string.match(node, '(%S+)$') ~= ARGV[5] then return NOT_LISTED end  -- it will enter again
for i = 7, #ARGV do
  if ARGV[i] ~= 'disk' and redis.call('HEXISTS', KEYS[3], ARGV[i]) == 0 then return NOT_LISTED end
end
redis.call('HSET', KEYS[4], 'holders:' .. ARGV[3], table.concat(ARGV, ' ', 7))
redis.call('PEXPIRE', KEYS[4], ARGV[6])
return DONE
