-- KEYS[1] is always `<prefix>instance`; the channel is `<prefix>events`.
local function publish(kind, instance, iteration)
  redis.call('PUBLISH', string.sub(KEYS[1], 1, -9) .. 'events', kind .. ' ' .. instance .. ' ' .. iteration)
end
