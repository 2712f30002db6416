-- JobStore::Reserve: a place for the update of one device, leased to a Server until it is counted.
-- KEYS: instance, status, round, devices, updates
-- ARGV: 1 instance, 2 iteration, 3 fl_id, 4 nonce, 5 content accepted (1|0), 6 iteration claimed by the device,
--       7 node id, 8 epoch, 9 threshold, 10 window of the round, 11 expiry of the rows (ms)
-- Answer: verdict, data_size, eval_data_size, joined ms, now ms, taken, first, full, ms until the deadline or nil
--include clock
--include deadline
--include publish
local RESERVED, MOVED, THRESHOLD_REACHED, NOT_JOINED, WRONG_ITERATION, CONTENT_REFUSED, ALREADY_UPDATED =
  0, 1, 2, 3, 4, 5, 6

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {MOVED, 0, 0, 0, 0, 0, 0, 0, false} end
local status = redis.call('HMGET', KEYS[2], 'iteration', 'state')
if status[1] ~= ARGV[2] or status[2] ~= '0' then return {MOVED, 0, 0, 0, 0, 0, 0, 0, false} end

local nonce, lease = ARGV[4], ' ' .. ARGV[7] .. ' ' .. ARGV[8] .. ' ' .. ARGV[4]
local of_epoch = 'leased:' .. ARGV[8]
local round = redis.call('HMGET', KEYS[3], 'leased', 'counted', 'start_by', 'update_by', 'global_by', 'first_lease',
                         'full_lease', of_epoch, 'void:' .. nonce, 'target', 'closed')
local leased, counted, threshold = tonumber(round[1] or 0), tonumber(round[2] or 0), tonumber(round[10] or ARGV[9])
local device, update = redis.call('HGET', KEYS[4], ARGV[3]), redis.call('HGET', KEYS[5], ARGV[3])
local now = now_ms()

local function answer(verdict)
  local data_size, eval_data_size, joined = string.match(device or '', '^(%S+) (%S+) (%S+) ')
  local reserved = verdict == RESERVED
  return {verdict, tonumber(data_size or 0), tonumber(eval_data_size or 0), tonumber(joined or 0), now,
          leased + counted, reserved and round[6] == nonce and 1 or 0, reserved and round[7] == nonce and 1 or 0,
          deadline_in(now, round[3], round[4], round[5])}
end

if round[9] then return answer(MOVED) end  -- withdrawn, see withdraw.lua
local counted_by_it = 'counted' .. lease .. ' '
if update == 'leased' .. lease or update and string.sub(update, 1, #counted_by_it) == counted_by_it then return answer(RESERVED) end
if leased + counted >= threshold or round[11] then return answer(THRESHOLD_REACHED) end
if not device then return answer(NOT_JOINED) end
if ARGV[6] ~= ARGV[2] then return answer(WRONG_ITERATION) end
if ARGV[5] ~= '1' then return answer(CONTENT_REFUSED) end
if update then return answer(ALREADY_UPDATED) end

redis.call('HSET', KEYS[5], ARGV[3], 'leased' .. lease)
leased = leased + 1
local fields = {'leased', leased, of_epoch, tonumber(round[8] or 0) + 1}
local function set(index, field, value)
  round[index], fields[#fields + 1], fields[#fields + 2] = value, field, value
end
local full = leased + counted >= threshold
local arm = not full and not round[4]
if not round[6] then set(6, 'first_lease', nonce) end
if full then set(7, 'full_lease', nonce) end
if arm then set(4, 'update_by', integer(now + ARGV[10])) end
redis.call('HSET', KEYS[3], unpack(fields))
if leased + counted == 1 then
  redis.call('PEXPIRE', KEYS[5], ARGV[11])
  redis.call('PEXPIRE', KEYS[3], ARGV[11])
end
if full then
  if round[4] then redis.call('HDEL', KEYS[3], 'update_by') end
  round[4] = false
  publish('update_full', ARGV[1], ARGV[2])
end
if arm then publish('deadline', ARGV[1], ARGV[2]) end
return answer(RESERVED)
