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
