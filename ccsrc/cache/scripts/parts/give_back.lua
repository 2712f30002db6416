-- Frees the leases that were taken under the epochs for which `gone` is true, so that other devices can have them.
-- A round that was full opens again, with a fresh window.
local function give_back(round, updates, gone, instance, iteration, threshold, window)
  local freed = 0
  local rows = redis.call('HGETALL', updates)
  for i = 1, #rows, 2 do
    local kind, epoch = string.match(rows[i + 1], '^(%S+) %S+ (%S+) ')
    if kind == 'leased' and gone[epoch] then
      redis.call('HDEL', updates, rows[i])
      redis.call('HINCRBY', round, 'leased:' .. epoch, -1)
      freed = freed + 1
    end
  end
  if freed == 0 then return end
  local left = redis.call('HINCRBY', round, 'leased', -freed) + (tonumber(redis.call('HGET', round, 'counted') or 0))
  if left < tonumber(threshold) and left + freed >= tonumber(threshold) then
    redis.call('HSET', round, 'update_by', integer(now_ms() + window))
    publish('deadline', instance, iteration)
  end
end
