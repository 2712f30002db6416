-- JobStore::AgreeOnModel: the first description holds.
-- KEYS: instance, model
-- ARGV: 1 description, empty to publish none, 2 expiry (ms)
-- Answer: the description that holds, empty if there is none
local description = redis.call('GET', KEYS[2])
if not description then
  description = ARGV[1]
  if description == '' then return description end
  redis.call('SET', KEYS[2], description)
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return description
