-- JobStore::Join: startFLJob of one device.
-- KEYS: instance, status, round, devices
-- ARGV: 1 instance, 2 iteration, 3 fl_id, 4 data_size, 5 eval_data_size, 6 nonce, 7 content accepted (1|0),
--       8 threshold, 9 window of the round, 10 global window, 11 expiry of the rows (ms)
-- Answer: verdict, started, first, last, ms until the nearest deadline or nil
--include clock
--include deadline
--include publish
local ACCEPTED, MOVED, THRESHOLD_REACHED, CONTENT_REFUSED, ALREADY_JOINED = 0, 1, 2, 3, 4

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {MOVED, 0, 0, 0, false} end
local status = redis.call('HMGET', KEYS[2], 'iteration', 'state')
if status[1] ~= ARGV[2] or status[2] ~= '0' then return {MOVED, 0, 0, 0, false} end

local round = redis.call('HMGET', KEYS[3], 'started', 'start_by', 'update_by', 'global_by', 'first_join', 'last_join',
                         'void:' .. ARGV[6], 'target')
local device = redis.call('HGET', KEYS[4], ARGV[3])
local started, threshold, now = tonumber(round[1] or 0), tonumber(ARGV[8]), now_ms()
local nonce = ARGV[6]

local function answer(verdict)
  local accepted = verdict == ACCEPTED
  return {verdict, started, accepted and round[5] == nonce and 1 or 0, accepted and round[6] == nonce and 1 or 0,
          deadline_in(now, round[2], round[3], round[4])}
end

if round[7] then return answer(MOVED) end  -- withdrawn, see withdraw.lua
local row = ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. integer(now) .. ' ' .. nonce
local joined_by = string.match(device or '', '^%S+ %S+ %S+ (.*)$')
if joined_by == nonce then return answer(ACCEPTED) end
if joined_by == '*' and ARGV[7] == '1' then  -- was told to start again, see withdraw.lua: it has its place
  redis.call('HSET', KEYS[4], ARGV[3], row)
  return answer(ACCEPTED)
end
-- With a target, startFLJob's window is over, see expire.lua.
if started >= threshold or round[8] then return answer(THRESHOLD_REACHED) end
if ARGV[7] ~= '1' then return answer(CONTENT_REFUSED) end
if device then return answer(ALREADY_JOINED) end

redis.call('HSET', KEYS[4], ARGV[3], row)
started = started + 1
if started == 1 then
  round[2], round[4], round[5] = integer(now + ARGV[9]), integer(now + ARGV[10]), nonce
  redis.call('HSET', KEYS[3], 'started', 1, 'began_ms', integer(now), 'start_by', round[2], 'global_by', round[4],
             'first_join', nonce)
  redis.call('PEXPIRE', KEYS[3], ARGV[11])
  redis.call('PEXPIRE', KEYS[4], ARGV[11])
else
  redis.call('HSET', KEYS[3], 'started', started)
end
if started >= threshold then
  round[2], round[6] = false, nonce
  redis.call('HDEL', KEYS[3], 'start_by')
  redis.call('HSET', KEYS[3], 'last_join', nonce)
  publish('start_full', ARGV[1], ARGV[2])
end
if started == 1 then publish('deadline', ARGV[1], ARGV[2]) end
return answer(ACCEPTED)
