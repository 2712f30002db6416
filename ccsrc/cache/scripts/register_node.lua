-- JobStore::Register: enters a node with a fresh epoch.
-- KEYS: instance, epoch, nodes, alive:<node id>
-- ARGV: 1 node id, 2 tcp address, 3 http address or -, 4 expiry of the heartbeat, 5 expiry of the rows (ms)
-- Answer: epoch
--include clock
local epoch = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[3], ARGV[1], 'SERVER ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. epoch)
redis.call('SET', KEYS[4], integer(now_ms()), 'PX', ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return epoch
