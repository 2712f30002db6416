-- JobStore::TakeOver: a holder of a part becomes its owner, since the owner is gone.
-- KEYS: instance, status, nodes, round, updates
-- ARGV: 1 instance, 2 iteration, 3 part, 4 node id, 5 epoch, 6 threshold and 7 window of updateModel (ms), 8 uploads that
--       it holds, 9.. fl_id, nonce, digest of those of them that it does not know to be counted
-- Answer: verdict, number of updates of the part
--
-- What the owner had shared with its holders and had not counted yet is counted now: the device sends it again, and is
-- told so. What it had not shared with them is given back.
--include clock
--include publish
--include give_back
--include part
local TAKEN, MOVED, NOT_HEIR, INCOMPLETE = 0, 1, 2, 3

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {MOVED, 0} end
local status = redis.call('HMGET', KEYS[2], 'iteration', 'state')
if status[1] ~= ARGV[2] or status[2] ~= '0' then return {MOVED, 0} end
local part, own = ARGV[3], ARGV[4]
local round, node = read_round(KEYS[4]), redis.call('HGET', KEYS[3], own)
local of_part = tonumber(round['counted:' .. part] or 0)
if owner_of(round, part) == own then return {TAKEN, of_part} end
if not node or string.match(node, '(%S+)$') ~= ARGV[5] then return {NOT_HEIR, 0} end
if redis.call('HEXISTS', KEYS[3], owner_of(round, part)) == 1 or heir_of(round, part, KEYS[3]) ~= own then
  return {NOT_HEIR, 0}
end

local function other_holders()
  local others = {}
  for id in string.gmatch(round['holders:' .. part], '%S+') do
    -- The disk is that of the process which is gone, unless it was found there.
    local there = id == 'disk' and round['claimed:' .. part] == own
    if there or id ~= own and redis.call('HEXISTS', KEYS[3], id) == 1 then others[#others + 1] = id end
  end
  return table.concat(others, ' ')
end
local function useless()  -- another one may have all of it
  redis.call('HSET', KEYS[4], 'holders:' .. part, other_holders())
  publish('nodes', ARGV[1], ARGV[2])
  return {INCOMPLETE, of_part}
end

local counted, leased = tonumber(round.counted or 0), tonumber(round.leased or 0)
local rows, of_epoch = {}, {}
for i = 9, #ARGV, 3 do
  local fl_id, nonce = ARGV[i], ARGV[i + 1]
  local kind, of, epoch, by = string.match(redis.call('HGET', KEYS[5], fl_id) or '', '^(%S+) (%S+) (%S+) (%S+)')
  if of ~= part or by ~= nonce then return useless() end
  if kind == 'leased' then
    rows[#rows + 1], rows[#rows + 2] = fl_id, 'counted ' .. part .. ' ' .. epoch .. ' ' .. nonce .. ' ' .. ARGV[i + 2]
    of_epoch[epoch] = (of_epoch[epoch] or 0) + 1
  end
end
local late = #rows / 2
if of_part + late ~= tonumber(ARGV[8]) then return useless() end

redis.call('HSET', KEYS[4], 'owner:' .. part, own, 'holders:' .. part, other_holders())
if late > 0 then
  for i = 1, #rows, 2 do redis.call('HSET', KEYS[5], rows[i], rows[i + 1]) end
  for epoch, number in pairs(of_epoch) do redis.call('HINCRBY', KEYS[4], 'leased:' .. epoch, -number) end
  redis.call('HSET', KEYS[4], 'leased', leased - late, 'counted', counted + late, 'counted:' .. part, of_part + late)
  if counted + late == tonumber(round.target or ARGV[6]) then publish('counted_full', ARGV[1], ARGV[2]) end
end
local gone, any, updates = {}, false, redis.call('HGETALL', KEYS[5])
for i = 2, #updates, 2 do
  local kind, of, epoch = string.match(updates[i], '^(%S+) (%S+) (%S+) ')
  if kind == 'leased' and of == part then gone[epoch], any = true, true end
end
if any then give_back(KEYS[4], KEYS[5], gone, {}, ARGV[1], ARGV[2], ARGV[6], ARGV[7]) end
publish('nodes', ARGV[1], ARGV[2])
return {TAKEN, of_part + late}
