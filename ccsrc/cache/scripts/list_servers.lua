-- JobStore::ListServers.
-- KEYS: nodes, alive:<node id> for each id in ARGV
-- ARGV: node ids
-- Answer: 1 and a flat array of node id, row, ms until its heartbeat has run out; or 0 and the ids of all nodes, when
--         one of them was not in ARGV
local alive, rows = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #ARGV do alive[ARGV[i]] = KEYS[i + 1] end
local list = {}
for i = 1, #rows, 2 do
  local heartbeat = alive[rows[i]]
  if not heartbeat then return {0, redis.call('HKEYS', KEYS[1])} end
  list[#list + 1], list[#list + 2], list[#list + 3] = rows[i], rows[i + 1], redis.call('PTTL', heartbeat)
end
return {1, list}
