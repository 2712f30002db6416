-- For the Scheduler: asks nodes to leave the cluster, which each hears with its next heartbeat.
-- KEYS: instance, status, nodes, leaving
-- ARGV: 1 instance, 2 expiry of the row (ms), 3.. node ids
-- Answer: as parts/status, then those of the ids that are in the cluster, also if they were asked before
-- KEYS[1] is always `<prefix>instance`; the channel is `<prefix>events`.
local function publish(kind, instance, iteration)
  redis.call('PUBLISH', string.sub(KEYS[1], 1, -9) .. 'events', kind .. ' ' .. instance .. ' ' .. iteration)
end
-- The answers of scripts that tell the job's status begin with one of these.
local GONE, ELSEWHERE, HERE = 0, 1, 2
-- Reads the status of `instance` at `key`, KEYS[2] unless given. Answers nil and what to tell the caller when the record
-- is gone or another instance is current.
local function read_status(instance, key)
  local current = redis.call('GET', KEYS[1])
  if not current then return nil, {GONE} end
  if current ~= instance then return nil, {ELSEWHERE, current} end
  local row = redis.call('HMGET', key or KEYS[2], 'iteration', 'state', 'valid', 'reason', 'moved_by', 'digest')
  if not row[1] then return nil, {GONE} end
  return {iteration = row[1], state = row[2], valid = row[3] or '1', reason = row[4] or '', moved_by = row[5],
          digest = row[6] or ''}
end
local function tell(instance, status, ...)
  return {HERE, instance, status.iteration, status.state, status.valid, status.reason, status.digest, ...}
end
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
