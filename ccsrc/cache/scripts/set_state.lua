-- JobStore::SetState.
-- KEYS: instance, status, round, devices, updates
-- ARGV: 1 instance, 2 iteration, 3 state wanted (0 running, 1 disable, 3 stop), 4 nonce, 5 number of iterations
-- Answer: as parts/status, then 1; or 0 when nothing was done, since the keys belong to another iteration; then the
--         state before the call (text)
-- Disable ends the running iteration as failed. Running leaves Disable and Stop, to Finish when all iterations are used
-- up. Finish is left by Stop alone.
--include clock
--include publish
--include status
--include move
local status, fault = read_status(ARGV[1])
if not status then return fault end
local wanted, before, nonce = ARGV[3], status.state, ARGV[4]
-- Sent twice: the state before it was sent first.
local set = redis.call('HMGET', KEYS[2], 'set_by', 'set_from')
if set[1] == nonce then return tell(ARGV[1], status, 1, set[2]) end
if status.iteration ~= ARGV[2] then return tell(ARGV[1], status, 0, before) end

if wanted == '1' and before == '0' then
  move(ARGV[1], status, '1', '0', 'Disable instance', nonce, ARGV[5])
elseif wanted == '0' and (before == '1' or before == '3') then
  status.state = tonumber(status.iteration) > tonumber(ARGV[5]) and '2' or '0'
elseif wanted == '3' then
  status.state = '3'
end
if status.state ~= before then
  redis.call('HSET', KEYS[2], 'state', status.state, 'set_by', nonce, 'set_from', before)
  publish('state', ARGV[1], status.iteration)
end
return tell(ARGV[1], status, 1, before)
