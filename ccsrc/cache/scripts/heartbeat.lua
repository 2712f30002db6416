-- JobStore::Heartbeat: renews a node and the job's rows, removes dead nodes, gives the leases of dead nodes back.
-- KEYS: instance, status, hyper, model, epoch, nodes, leaving, settings, round, updates, alive:<node id> for each id in
--       ARGV
-- ARGV: 1 instance, 2 iteration, 3 tcp address, 4 http address or -, 5 epoch, 6 expiry of a heartbeat, 7 expiry of the
--       rows, 8 threshold, 9 window of updateModel (ms), 10 settings, 11.. node ids, the own one first
-- Answer: 1, epoch, whether it was asked to leave, the ids of the Servers that are listed. Or, when nothing was done: 0 and the ids of all nodes, when one of
--         them was not in ARGV; 2 and the settings of the cluster, when those are others
--include clock
--include publish
--include give_back
--include part
local known, nodes = {}, redis.call('HGETALL', KEYS[6])
for i = 11, #ARGV do known[ARGV[i]] = KEYS[i] end
for i = 1, #nodes, 2 do
  if not known[nodes[i]] then return {0, redis.call('HKEYS', KEYS[6])} end
end

local own, now, expiry = ARGV[11], now_ms(), tonumber(ARGV[6])
local current = redis.call('GET', KEYS[1]) == ARGV[1]
-- The row is gone when Redis came back empty, and of Servers that are no more when it came back with older data or they
-- have left since.
local settings = redis.call('GET', KEYS[8])
if not settings then
  redis.call('SET', KEYS[8], ARGV[10])
elseif settings ~= ARGV[10] and current then  -- else the cluster may yet go on with this node's instance, see Recreate
  local digest, silent = redis.sha1hex(settings), false
  for i = 1, #nodes, 2 do
    if nodes[i] ~= own and string.match(nodes[i + 1], '^SERVER ') then
      local heartbeat = redis.call('GET', known[nodes[i]])
      if not heartbeat then silent = true end
      if heartbeat and string.match(heartbeat, ' (%S+)$') == digest then return {2, settings} end
    end
  end
  if not silent then redis.call('SET', KEYS[8], ARGV[10]) end  -- else they may come back, or are removed below
end

local row = redis.call('HGET', KEYS[6], own)
-- A row of another epoch is this node's own: it was entered again and lost the answer.
local epoch = row and string.match(row, '(%S+)$')
if not row then
  epoch = integer(redis.call('INCR', KEYS[5]))
  redis.call('HSET', KEYS[6], own, 'SERVER ' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. epoch)
end
-- The value begins with the time since when this node was never away. After an outage of Redis all heartbeats have run
-- out; who comes back first must not bury the others, so only a node that was there for a whole expiry removes any.
local since = tonumber(string.match(redis.call('GET', KEYS[11]) or '', '^%d+') or now)
redis.call('SET', KEYS[11], integer(since) .. ' ' .. redis.sha1hex(ARGV[10]), 'PX', expiry)

local alive, servers = {[epoch] = true}, {own}
for i = 1, #nodes, 2 do
  if nodes[i] ~= own then
    if now - since < expiry or redis.call('EXISTS', known[nodes[i]]) == 1 then
      alive[string.match(nodes[i + 1], '(%S+)$')] = true
      if string.match(nodes[i + 1], '^SERVER ') then servers[#servers + 1] = nodes[i] end
    else
      redis.call('HDEL', KEYS[6], nodes[i])
      redis.call('SREM', KEYS[7], nodes[i])
      publish('nodes', ARGV[1], ARGV[2])
    end
  end
end

if current and redis.call('HGET', KEYS[2], 'iteration') == ARGV[2] then
  local gone, any, round = {}, false, read_round(KEYS[9])
  for field, value in pairs(round) do
    local of_epoch = string.match(field, '^leased:(.*)$')
    if of_epoch and not alive[of_epoch] and tonumber(value) > 0 then
      gone[of_epoch], any = true, true
    end
  end
  if any then
    -- Those of older epochs belong to a Server that has entered again; those of orphans to their heirs.
    local kept = orphans(round, KEYS[6])
    for _, id in ipairs(redis.call('HKEYS', KEYS[6])) do kept[id] = kept[id] or not round['owner:' .. id] end
    give_back(KEYS[9], KEYS[10], gone, kept, ARGV[1], ARGV[2], ARGV[8], ARGV[9])
  end
end
for i = current and 1 or 4, 8 do redis.call('PEXPIRE', KEYS[i], ARGV[7]) end
return {1, tonumber(epoch), redis.call('SISMEMBER', KEYS[7], own), servers}
