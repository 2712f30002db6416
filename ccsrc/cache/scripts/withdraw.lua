-- JobStore::Withdraw: a request whose answer was lost shall have no effect, whether it ran or still will.
-- KEYS: instance, status, round, devices, updates
-- ARGV: 1 instance, 2 iteration, 3 fl_id, 4 nonce, 5 threshold and 6 window of startFLJob, 7 threshold and 8 window of
--       updateModel, 9 expiry of the rows (ms)
-- Answer: 1; or 0 when the iteration is over, and with it everything that was decided in it
--include clock
--include publish
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[2], 'iteration') ~= ARGV[2] then return 0 end

local fl_id, nonce = ARGV[3], ARGV[4]
-- A command that lies in the buffer of a connection that broke may still be run after this one.
redis.call('HSET', KEYS[3], 'void:' .. nonce, 1)
redis.call('PEXPIRE', KEYS[3], ARGV[9])

-- A round that was full opens again, with a fresh window.
local function reopen(deadline, window, kind)
  redis.call('HSET', KEYS[3], deadline, integer(now_ms() + window))
  publish(kind, ARGV[1], ARGV[2])
end

local device, update = redis.call('HGET', KEYS[4], fl_id), redis.call('HGET', KEYS[5], fl_id)
if update then
  local kind, epoch, of_nonce = string.match(update, '^(%S+) %S+ (%S+) (.*)$')
  if kind == 'leased' and of_nonce == nonce then
    redis.call('HDEL', KEYS[5], fl_id)
    redis.call('HINCRBY', KEYS[3], 'leased:' .. epoch, -1)
    local left = redis.call('HINCRBY', KEYS[3], 'leased', -1) + tonumber(redis.call('HGET', KEYS[3], 'counted') or 0)
    if left + 1 >= tonumber(ARGV[7]) then reopen('update_by', ARGV[8], 'deadline') end
  end
elseif device and string.match(device, '^%S+ %S+ %S+ (.*)$') == nonce then
  redis.call('HDEL', KEYS[4], fl_id)
  local started = redis.call('HINCRBY', KEYS[3], 'started', -1)
  if started + 1 >= tonumber(ARGV[5]) then reopen('start_by', ARGV[6], 'start_open') end
end
return 1
