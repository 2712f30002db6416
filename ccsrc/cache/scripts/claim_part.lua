-- JobStore::ClaimPart: a Server has found a part on its disk whose owner, a process of this host, is no more.
-- KEYS: instance, status, nodes, round
-- ARGV: 1 instance, 2 iteration, 3 part, 4 node id, 5 epoch
-- Answer: 1 when the Server is its heir now, else 0
--include publish
--include part
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local status = redis.call('HMGET', KEYS[2], 'iteration', 'state')
if status[1] ~= ARGV[2] or status[2] ~= '0' then return 0 end
local round, node = read_round(KEYS[4]), redis.call('HGET', KEYS[3], ARGV[4])
if not node or string.match(node, '(%S+)$') ~= ARGV[5] or not is_on_disk(round, ARGV[3]) then return 0 end
-- Its heartbeat may not have run out yet.
if redis.call('HDEL', KEYS[3], owner_of(round, ARGV[3])) == 1 then publish('nodes', ARGV[1], ARGV[2]) end
-- Whoever else has all of it stays one: the file may not be whole.
redis.call('HSET', KEYS[4], 'holders:' .. ARGV[3], ARGV[4] .. ' ' .. round['holders:' .. ARGV[3]],
           'claimed:' .. ARGV[3], ARGV[4])
return 1
