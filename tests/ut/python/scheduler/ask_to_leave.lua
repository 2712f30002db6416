-- KEYS: instance, nodes, leaving
-- ARGV: 1 instance, 2 iteration, 3 expiry of the row (ms), 4... node ids
-- Answer: the ids that are new in the row
local added = {}
for i = 4, #ARGV do
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1 and redis.call('SADD', KEYS[3], ARGV[i]) == 1 then
    added[#added + 1] = ARGV[i]
  end
end
if #added > 0 then
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
  redis.call('PUBLISH', string.sub(KEYS[1], 1, -9) .. 'events', 'leave ' .. ARGV[1] .. ' ' .. ARGV[2])
end
return added
