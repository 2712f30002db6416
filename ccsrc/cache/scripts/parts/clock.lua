-- Milliseconds of Redis' clock.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function integer(number)
  return string.format('%.0f', number)
end
