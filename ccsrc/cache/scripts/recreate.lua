-- JobStore::Recreate: writes a lost record again from a Server's memory, unless somebody did. A Server that has found
-- nothing and begun anew counts for nobody, as long as its first iteration lasts. What an operator made the cache forget
-- is not written.
-- KEYS: instance, status, hyper, model, status of the instance in ARGV[11], forgotten, settings
-- ARGV: 1 instance, 2 iteration, 3 state, 4 valid, 5 reason, 6 reason of a failed iteration, 7 number of iterations,
--       8 expiry of the rows (ms), 9 description, 10 digest, 11 instance that was found, or the same as 1,
--       12 settings, 13.. hyper-parameters as name, value
-- Answer: as parts/status; GONE when it is forgotten
--include clock
--include publish
--include status
local current, forgotten = redis.call('GET', KEYS[1]), redis.call('SISMEMBER', KEYS[6], ARGV[1]) == 1
local replaces = false
if forgotten and (not current or current == ARGV[1]) then return {GONE} end
if current and current ~= ARGV[1] then
  local found = redis.call('HMGET', KEYS[5], 'iteration', 'opened')
  replaces = current == ARGV[11] and found[2] and found[1] == found[2] and redis.call('EXISTS', KEYS[2]) == 0
             and not forgotten
  if not replaces then return {ELSEWHERE, current} end
  redis.call('PEXPIRE', KEYS[5], 60000)
  redis.call('DEL', KEYS[4])
  redis.call('SET', KEYS[7], ARGV[12], 'PX', ARGV[8])
end
redis.call('SET', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  local iteration, state, valid, reason = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
  if state == '0' or state == '1' then
    local number = tonumber(iteration) + 1
    iteration, valid, reason = integer(number), '0', ARGV[6]
    if state == '0' and number > tonumber(ARGV[7]) then state = '2' end
  end
  redis.call('HSET', KEYS[2], 'iteration', iteration, 'state', state, 'valid', valid, 'reason', reason,
             'digest', ARGV[10])
  publish(replaces and 'instance' or 'moved', ARGV[1], iteration)
end
if #ARGV > 12 and redis.call('EXISTS', KEYS[3]) == 0 then redis.call('HSET', KEYS[3], unpack(ARGV, 13)) end
if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('SET', KEYS[4], ARGV[9]) end
for row = 1, 4 do redis.call('PEXPIRE', KEYS[row], ARGV[8]) end
return tell(ARGV[1], (read_status(ARGV[1])))
