-- JobStore::NewInstance: the job begins anew, with iteration 1, whatever state it is in.
-- KEYS: instance, status and hyper of the old instance, status and hyper of the new one
-- ARGV: 1 old instance, 2 new instance, 3 nonce, 4 expiry of the rows (ms), 5.. hyper-parameters that change as name,
--       value; the others, and the model, are those of the old instance
-- Answer: as parts/status, of the new instance; GONE or ELSEWHERE when nothing was done
--include publish
--include status
if ARGV[2] ~= ARGV[1] and redis.call('GET', KEYS[1]) == ARGV[2] then  -- sent twice
  local status, fault = read_status(ARGV[2], KEYS[4])
  return status and tell(ARGV[2], status) or fault
end
local status, fault = read_status(ARGV[1])
if not status then return fault end
if ARGV[2] == ARGV[1] then return tell(ARGV[1], status) end

local hyper = redis.call('HGETALL', KEYS[3])
if #hyper > 0 then redis.call('HSET', KEYS[5], unpack(hyper)) end
if #ARGV > 4 then redis.call('HSET', KEYS[5], unpack(ARGV, 5)) end
redis.call('HSET', KEYS[4], 'iteration', '1', 'state', '0', 'valid', '1', 'reason', '', 'created_by', ARGV[3],
           'digest', status.digest)
redis.call('SET', KEYS[1], ARGV[2])
for _, row in ipairs({1, 4, 5}) do redis.call('PEXPIRE', KEYS[row], ARGV[4]) end
for _, row in ipairs({2, 3}) do redis.call('PEXPIRE', KEYS[row], 60000) end
publish('instance', ARGV[2], '1')
return tell(ARGV[2], (read_status(ARGV[2], KEYS[4])))
