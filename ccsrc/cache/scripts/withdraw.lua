-- JobStore::Withdraw: a request whose answer was lost shall have no effect, whether it ran or still will. A device
-- whose update is withdrawn is told to start again, and may.
-- KEYS: instance, status, round, devices, updates
-- ARGV: 1 instance, 2 iteration, 3 fl_id, 4 nonce, 5 threshold and 6 window of startFLJob, 7 threshold and 8 window of
--       updateModel, 9 expiry of the rows (ms)
-- Answer: 1; or 0 when the iteration is over, and with it everything that was decided in it
--include clock
--include publish
--include give_back
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[2], 'iteration') ~= ARGV[2] then return 0 end

local fl_id, nonce = ARGV[3], ARGV[4]
-- A command that lies in the buffer of a connection that broke may still be run after this one.
redis.call('HSET', KEYS[3], 'void:' .. nonce, 1)
redis.call('PEXPIRE', KEYS[3], ARGV[9])

local device, update = redis.call('HGET', KEYS[4], fl_id), redis.call('HGET', KEYS[5], fl_id)
if update then
  local kind, epoch, of_nonce = string.match(update, '^(%S+) %S+ (%S+) (.*)$')
  if kind == 'leased' and of_nonce == nonce then
    redis.call('HDEL', KEYS[5], fl_id)
    redis.call('HINCRBY', KEYS[3], 'leased:' .. epoch, -1)
    leases_freed(KEYS[3], 1, ARGV[1], ARGV[2], ARGV[7], ARGV[8])
    update = false
  end
end
local sizes, joined_by = string.match(device or '', '^(%S+ %S+ %S+ )(.*)$')
if joined_by == nonce and not update then
  redis.call('HDEL', KEYS[4], fl_id)
  local started = redis.call('HINCRBY', KEYS[3], 'started', -1)
  local row = redis.call('HMGET', KEYS[3], 'target', 'closed')
  if row[1] then
    -- Nobody else can join: one update less is to come.
    if not row[2] and started < tonumber(row[1]) then lower_target(KEYS[3], started, ARGV[1], ARGV[2]) end
  elseif started + 1 >= tonumber(ARGV[5]) then
    redis.call('HSET', KEYS[3], 'start_by', integer(now_ms() + ARGV[6]))
    publish('start_open', ARGV[1], ARGV[2])
  end
elseif sizes and not update then
  redis.call('HSET', KEYS[4], fl_id, sizes .. '*')  -- taken by whatever request comes next, see join.lua
end
return 1
