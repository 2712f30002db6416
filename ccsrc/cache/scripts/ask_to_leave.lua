-- For the Scheduler: asks nodes to leave the cluster, which each hears with its next heartbeat.
-- KEYS: instance, status, nodes, leaving
-- ARGV: 1 instance, 2 expiry of the row (ms), 3.. node ids
-- Answer: as parts/status, then those of the ids that are in the cluster, also if they were asked before
--include publish
--include status
local status, fault = read_status(ARGV[1])
if not status then return fault end
local asked, fresh = {}, 0
for i = 3, #ARGV do
  if redis.call('HEXISTS', KEYS[3], ARGV[i]) == 1 then
    asked[#asked + 1] = ARGV[i]
    fresh = fresh + redis.call('SADD', KEYS[4], ARGV[i])
  end
end
redis.call('PEXPIRE', KEYS[4], ARGV[2])
if fresh > 0 then publish('leave', ARGV[1], status.iteration) end
return tell(ARGV[1], status, asked)
