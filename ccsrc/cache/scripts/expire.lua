-- JobStore::Expire: the iteration fails if a deadline of it has passed.
-- KEYS: instance, status, round, devices, updates
-- ARGV: 1 instance, 2 iteration, 3 nonce, 4 number of iterations
-- Answer: as parts/status, then expired by this call, ms until the nearest deadline or nil
--include clock
--include deadline
--include publish
--include status
--include move
local status, fault = read_status(ARGV[1])
if not status then return fault end
if status.moved_by == ARGV[3] then return tell(ARGV[1], status, 1, false) end
if status.iteration ~= ARGV[2] or status.state ~= '0' then return tell(ARGV[1], status, 0, false) end

local by = redis.call('HMGET', KEYS[3], 'start_by', 'update_by', 'global_by')
local left = deadline_in(now_ms(), by[1], by[2], by[3])
if not left or left > 0 then return tell(ARGV[1], status, 0, left) end
local name, earliest = nil, nil
for i, what in ipairs({'Round startFLJob', 'Round updateModel', 'Global timer'}) do
  local at = tonumber(by[i] or nil)
  if at and (not earliest or at < earliest) then name, earliest = what, at end
end
local reason = name .. ' timeout! This iteration is invalid. Proceed to next iteration.'
move(ARGV[1], status, '0', '0', reason, ARGV[3], ARGV[4])
return tell(ARGV[1], status, 1, false)
