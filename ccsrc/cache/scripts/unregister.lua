-- JobStore::Unregister: removes a node and gives its leases back.
-- KEYS: instance, status, nodes, alive:<node id>, round, updates, leaving
-- ARGV: 1 instance, 2 iteration, 3 node id, 4 epoch, 5 threshold, 6 window of updateModel (ms)
-- Answer: as parts/status, then 1; or 0 (or ELSEWHERE) when nothing was done, since the keys belong to another iteration
--include clock
--include publish
--include status
--include give_back
--include part
local status, fault = read_status(ARGV[1])
if fault and fault[1] == ELSEWHERE then return fault end
if status and status.iteration ~= ARGV[2] then return tell(ARGV[1], status, 0) end
local node = redis.call('HGET', KEYS[3], ARGV[3])
if node and string.match(node, '(%S+)$') == ARGV[4] then
  redis.call('HDEL', KEYS[3], ARGV[3])
  redis.call('DEL', KEYS[4])
  redis.call('SREM', KEYS[7], ARGV[3])
  publish('nodes', ARGV[1], ARGV[2])
end
if not status then return fault end
give_back(KEYS[5], KEYS[6], {[ARGV[4]] = true}, orphans(read_round(KEYS[5]), KEYS[3]), ARGV[1], ARGV[2], ARGV[5], ARGV[6])
return tell(ARGV[1], status, 1)
