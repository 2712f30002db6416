-- JobStore::ReplaceDigest: compare-and-set of the digest of the model that an iteration starts from.
-- KEYS: instance, status
-- ARGV: 1 instance, 2 iteration, 3 digest expected, 4 digest wanted
-- Answer: as parts/status
--include status
local status, fault = read_status(ARGV[1])
if not status then return fault end
if status.iteration == ARGV[2] and status.digest == ARGV[3] then
  status.digest = ARGV[4]
  redis.call('HSET', KEYS[2], 'digest', ARGV[4])
end
return tell(ARGV[1], status)
