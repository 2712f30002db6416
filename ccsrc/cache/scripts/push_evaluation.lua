-- JobStore::PushEvaluation: keeps a device's evaluation vector, the newest first.
-- KEYS: <instance>:evaluation, <instance>:evaluation:<nonce>
-- ARGV: 1 vector, 2 how many are kept, 3 expiry of the rows, 4 how long the nonce is remembered (ms)
-- Answer: how many there are
if redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[4]) then
  redis.call('LPUSH', KEYS[1], ARGV[1])
  redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return redis.call('LLEN', KEYS[1])
