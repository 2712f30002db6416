-- JobStore::Register: enters a node with a fresh epoch, if its settings are those of the other Servers, and agrees on
-- the model that the iteration starts from.
-- KEYS: instance, status, epoch, nodes, settings, alive:<node id> for each id in ARGV
-- ARGV: 1 instance, 2 node id, 3 tcp address, 4 http address or -, 5 expiry of the heartbeat, 6 expiry of the rows
--       (ms), 7 digest of the node's model, or empty, 8 settings, 9 whether Servers without a heartbeat don't count,
--       10.. node ids, the own one first
-- Answer: 1, epoch, the digest that holds, empty if there is none. Or, when nothing was done: 0 and the current instance,
--         when that is another one; 2 and the settings of the other Servers, when those are others; 3 and the ids of
--         all nodes, when there are other settings and one of the nodes was not in ARGV
--include clock
--include status
local status, fault = read_status(ARGV[1])
if fault and fault[1] == ELSEWHERE then return {0, fault[2]} end

local settings = redis.call('GET', KEYS[5])
if settings and settings ~= ARGV[8] then
  local known, nodes = {}, redis.call('HGETALL', KEYS[4])
  for i = 10, #ARGV do known[ARGV[i]] = KEYS[i - 4] end
  for i = 1, #nodes, 2 do
    if not known[nodes[i]] then return {3, redis.call('HKEYS', KEYS[4])} end
  end
  for i = 1, #nodes, 2 do
    local server = string.match(nodes[i + 1], '^SERVER ')
    local alive = redis.call('GET', known[nodes[i]])
    local others = ARGV[9] == '0'
    if alive then others = string.match(alive, ' (%S+)$') ~= redis.sha1hex(ARGV[8]) end
    if server and nodes[i] ~= ARGV[2] and others then return {2, settings} end
  end
end

local epoch = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[4], ARGV[2], 'SERVER ' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. epoch)
redis.call('SET', KEYS[5], ARGV[8], 'PX', ARGV[6])
redis.call('SET', KEYS[6], integer(now_ms()) .. ' ' .. redis.sha1hex(ARGV[8]), 'PX', ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[6])
redis.call('PEXPIRE', KEYS[4], ARGV[6])
if not status then return {1, epoch, ''} end
if status.digest == '' and ARGV[7] ~= '' then
  status.digest = ARGV[7]
  redis.call('HSET', KEYS[2], 'digest', ARGV[7])
end
return {1, epoch, status.digest}
