-- After a window has ended with enough (expire.lua): the iteration waits for `target` updates from now on. Too few make
-- it fail, by a deadline that has passed.
local function lower_target(round, target, instance, iteration)
  local row = redis.call('HMGET', round, 'leased', 'counted', 'closed', 'minimum')
  if target < tonumber(row[4]) then
    redis.call('HSET', round, 'closed', 1, 'update_by', integer(now_ms()))
    return publish('deadline', instance, iteration)
  end
  local counted = tonumber(row[2] or 0)
  local full = counted + tonumber(row[1] or 0) >= target
  redis.call('HSET', round, 'target', target)
  if counted < target and (row[3] or not full) then return end
  redis.call('HDEL', round, 'update_by')
  publish(counted < target and 'update_full' or 'counted_full', instance, iteration)
end

-- `freed` leases are no more. A round that was full opens again, with a fresh window, unless it takes no more updates.
local function leases_freed(round, freed, instance, iteration, threshold, window)
  local leased = redis.call('HINCRBY', round, 'leased', -freed)
  local row = redis.call('HMGET', round, 'counted', 'target', 'closed')
  local left, expected = leased + tonumber(row[1] or 0), tonumber(row[2] or threshold)
  if row[3] then
    lower_target(round, left, instance, iteration)
  elseif left < expected and left + freed >= expected then
    redis.call('HSET', round, 'update_by', integer(now_ms() + window))
    publish('deadline', instance, iteration)
  end
end

-- Frees the leases that were taken under the epochs for which `gone` is true, so that other devices can have them; not
-- those of nodes for which `kept` is true.
local function give_back(round, updates, gone, kept, instance, iteration, threshold, window)
  local freed = 0
  local rows = redis.call('HGETALL', updates)
  for i = 1, #rows, 2 do
    local kind, node, epoch = string.match(rows[i + 1], '^(%S+) (%S+) (%S+) ')
    if kind == 'leased' and gone[epoch] and not kept[node] then
      redis.call('HDEL', updates, rows[i])
      redis.call('HINCRBY', round, 'leased:' .. epoch, -1)
      freed = freed + 1
      -- Its sum may hold it: if the Server comes back, nothing is counted in that sum. What is already is the heir's.
      if tonumber(redis.call('HGET', round, 'counted:' .. node) or 0) == 0 then
        redis.call('HSETNX', round, 'owner:' .. node, '-')
      end
    end
  end
  if freed > 0 then leases_freed(round, freed, instance, iteration, threshold, window) end
end
