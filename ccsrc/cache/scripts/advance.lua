-- JobStore::Advance: compare-and-set to the next iteration.
-- KEYS: instance, status, round, devices, updates
-- ARGV: 1 instance, 2 iteration, 3 valid, 4 reason, 5 nonce, 6 number of iterations, 7 digest of the model that it
--       has made, or empty
-- Answer: as parts/status, then whether this call (or this call sent before) has moved it
--include clock
--include publish
--include status
--include move
local status, fault = read_status(ARGV[1])
if not status then return fault end
if status.moved_by == ARGV[5] then return tell(ARGV[1], status, 1) end
if status.iteration ~= ARGV[2] or status.state ~= '0' then return tell(ARGV[1], status, 0) end
move(ARGV[1], status, '0', ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[3] == '1' and ARGV[7])
return tell(ARGV[1], status, 1)
