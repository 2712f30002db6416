-- JobStore::Expire: what becomes of the iteration when a deadline of it has passed.
-- KEYS: instance, status, round, devices, updates
-- ARGV: 1 instance, 2 iteration, 3 nonce, 4 number of iterations, 5 threshold of updateModel, 6 minimum (0: none),
--       7 time for the last updates (ms)
-- Answer: as parts/status, then expired by this call, ms until the nearest deadline or nil
--
-- It fails, unless there are `minimum` devices or updates. Then it goes on with what has come:
--   startFLJob's window is over     nobody joins any more; `target`, the number of updates to wait for, is that of the
--                                   devices that have joined, at most the threshold
--   updateModel's or the global one the round is `closed`: no place is reserved any more; `target` is the number of
--                                   updates that are counted or leased, and those leased have a short time to arrive
--include clock
--include deadline
--include publish
--include status
--include move
local status, fault = read_status(ARGV[1])
if not status then return fault end
if status.moved_by == ARGV[3] then return tell(ARGV[1], status, 1, false) end
if status.iteration ~= ARGV[2] or status.state ~= '0' then return tell(ARGV[1], status, 0, false) end

local row = redis.call('HMGET', KEYS[3], 'start_by', 'update_by', 'global_by', 'started', 'leased', 'counted', 'target',
                       'closed', 'timeout')
local by, started, leased = {row[1], row[2], row[3]}, tonumber(row[4] or 0), tonumber(row[5] or 0)
local counted, threshold, minimum = tonumber(row[6] or 0), tonumber(ARGV[5]), tonumber(ARGV[6])
-- Everything that was waited for is counted: it is being aggregated, or fails since a sum is lost.
if counted >= tonumber(row[7] or threshold) then return tell(ARGV[1], status, 0, false) end

local now = now_ms()
local names = {'Round startFLJob', 'Round updateModel', 'Global timer'}
-- The window that ended first, and ms until the next one ends.
local function ended()
  local first = nil
  for i = 1, 3 do
    local at = tonumber(by[i] or nil)
    if at and (not first or at < tonumber(by[first])) then first = i end
  end
  return first, deadline_in(now, by[1], by[2], by[3])
end

local window, left = ended()
if not left or left > 0 then return tell(ARGV[1], status, 0, left) end

if window == 1 and minimum > 0 and started >= minimum then
  local target = math.min(threshold, started)
  redis.call('HSET', KEYS[3], 'target', target, 'minimum', minimum, 'timeout', names[1])
  redis.call('HDEL', KEYS[3], 'start_by')
  by[1] = false
  publish('start_full', ARGV[1], ARGV[2])
  if counted + leased >= target then
    redis.call('HDEL', KEYS[3], 'update_by')
    by[2] = false
    publish(counted >= target and 'counted_full' or 'update_full', ARGV[1], ARGV[2])
    if counted >= target then return tell(ARGV[1], status, 0, false) end
  end
  window, left = ended()
  if not left or left > 0 then return tell(ARGV[1], status, 0, left) end
end

if window ~= 1 and not row[8] and minimum > 0 and counted + leased >= minimum then
  redis.call('HSET', KEYS[3], 'target', counted + leased, 'minimum', minimum, 'timeout', names[window], 'closed', 1,
             'update_by', integer(now + ARGV[7]))
  redis.call('HDEL', KEYS[3], 'start_by', 'global_by')
  publish('start_full', ARGV[1], ARGV[2])
  publish('update_full', ARGV[1], ARGV[2])
  if leased > 0 then
    publish('deadline', ARGV[1], ARGV[2])
    return tell(ARGV[1], status, 0, tonumber(ARGV[7]))
  end
  redis.call('HDEL', KEYS[3], 'update_by')
  publish('counted_full', ARGV[1], ARGV[2])
  return tell(ARGV[1], status, 0, false)
end

local name = row[8] and row[9] or names[window]
local reason = name .. ' timeout! This iteration is invalid. Proceed to next iteration.'
move(ARGV[1], status, '0', '0', reason, ARGV[3], ARGV[4])
return tell(ARGV[1], status, 1, false)
