-- JobStore::YieldPart: a Server can't answer for its part any more and leaves it to one that holds it, too.
-- KEYS: instance, status, nodes, round
-- ARGV: 1 instance, 2 iteration, 3 part
-- Answer: verdict
--include publish
--include part
local YIELDED, MOVED, NO_HEIR = 0, 1, 2

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return MOVED end
if redis.call('HGET', KEYS[2], 'iteration') ~= ARGV[2] then return MOVED end
local round = read_round(KEYS[4])
if owner_of(round, ARGV[3]) ~= ARGV[3] then return YIELDED end
if tonumber(round['counted:' .. ARGV[3]] or 0) > 0 and not heir_of(round, ARGV[3], KEYS[3]) then return NO_HEIR end
redis.call('HSET', KEYS[4], 'owner:' .. ARGV[3], '-')
publish('nodes', ARGV[1], ARGV[2])
return YIELDED
