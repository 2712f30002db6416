-- JobStore::Register: enters a node with a fresh epoch, and agrees on the model that the iteration starts from.
-- KEYS: instance, status, epoch, nodes, alive:<node id>
-- ARGV: 1 instance, 2 node id, 3 tcp address, 4 http address or -, 5 expiry of the heartbeat, 6 expiry of the rows
--       (ms), 7 digest of the node's model, or empty
-- Answer: 1, epoch, the digest that holds, empty if there is none; or 0 and the current instance when that is another
--         one: nothing was done
--include clock
--include status
local status, fault = read_status(ARGV[1])
if fault and fault[1] == ELSEWHERE then return {0, fault[2]} end

local epoch = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[4], ARGV[2], 'SERVER ' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. epoch)
redis.call('SET', KEYS[5], integer(now_ms()), 'PX', ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[6])
redis.call('PEXPIRE', KEYS[4], ARGV[6])
if not status then return {1, epoch, ''} end
if status.digest == '' and ARGV[7] ~= '' then
  status.digest = ARGV[7]
  redis.call('HSET', KEYS[2], 'digest', ARGV[7])
end
return {1, epoch, status.digest}
