-- JobStore::Open: adopts the job's instance or creates it.
-- KEYS: instance, status, hyper
-- ARGV: 1 instance, 2 iteration, 3 state, 4 valid, 5 reason, 6 nonce, 7 expiry of the rows (ms),
--       8 iteration if the instance is begun from nothing, or empty, 9 digest, 10.. hyper-parameters as name, value
-- Answer: as parts/status, then created, then the hyper-parameters as a flat array
--include publish
--include status
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then return {ELSEWHERE, current} end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[1], ARGV[1])
  redis.call('HSET', KEYS[2], 'iteration', ARGV[2], 'state', ARGV[3], 'valid', ARGV[4], 'reason', ARGV[5],
             'created_by', ARGV[6], 'opened', ARGV[8])
  if ARGV[9] ~= '' then redis.call('HSET', KEYS[2], 'digest', ARGV[9]) end
  publish('instance', ARGV[1], ARGV[2])
elseif not current then
  redis.call('SET', KEYS[1], ARGV[1])
end
if #ARGV > 9 and redis.call('EXISTS', KEYS[3]) == 0 then redis.call('HSET', KEYS[3], unpack(ARGV, 10)) end
for row = 1, 3 do redis.call('PEXPIRE', KEYS[row], ARGV[7]) end
local created = redis.call('HGET', KEYS[2], 'created_by') == ARGV[6] and 1 or 0
return tell(ARGV[1], read_status(ARGV[1]), created, redis.call('HGETALL', KEYS[3]))
