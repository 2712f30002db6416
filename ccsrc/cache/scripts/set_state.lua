-- JobStore::SetState.
-- KEYS: instance, status, round, devices, updates
-- ARGV: 1 instance, 2 iteration, 3 state wanted (0 running, 1 disable, 3 stop), 4 nonce, 5 number of iterations
-- Answer: as parts/status, then 1; or 0 when nothing was done, since the keys belong to another iteration
--include clock
--include publish
--include status
--include move
local status, fault = read_status(ARGV[1])
if not status then return fault end
if status.iteration ~= ARGV[2] then return tell(ARGV[1], status, 0) end

local wanted, before = ARGV[3], status.state
if wanted == '1' and before == '0' then
  move(ARGV[1], status, '1', '0', 'Disable instance', ARGV[4], ARGV[5])
elseif wanted == '0' and before == '1' then
  status.state = tonumber(status.iteration) > tonumber(ARGV[5]) and '2' or '0'
elseif wanted == '3' then
  status.state = '3'
end
if status.state ~= before then
  redis.call('HSET', KEYS[2], 'state', status.state)
  publish('state', ARGV[1], status.iteration)
end
return tell(ARGV[1], status, 1)
