-- A part: what is counted under one Server in an iteration, named by that Server's id. It lies at its owner, which is that
-- Server until another one takes it over, and at its holders, which have all of it, too. One of them may be `disk`: who
-- finds it there can claim it, until nothing but it is waited for.
local function owner_of(round, part)
  return round['owner:' .. part] or part
end
-- Who takes the part over when its owner is gone: the first of its holders that is in the cluster; nil if there is none.
local function heir_of(round, part, nodes)
  for id in string.gmatch(round['holders:' .. part] or '', '%S+') do
    -- Whose part it was has given it up.
    if id ~= part and redis.call('HEXISTS', nodes, id) == 1 then return id end
  end
end
local function is_on_disk(round, part)
  return string.find(' ' .. (round['holders:' .. part] or '') .. ' ', ' disk ', 1, true) ~= nil
end
local function read_round(key)
  local round, rows = {}, redis.call('HGETALL', key)
  for i = 1, #rows, 2 do round[rows[i]] = rows[i + 1] end
  return round
end
-- Those of which something is counted, or held: what is held may be about to be counted.
local function parts_of(round)
  local parts = {}
  for field, value in pairs(round) do
    local kind, part = string.match(field, '^(%a+):(.*)$')
    if kind == 'holders' or kind == 'counted' and tonumber(value) > 0 then parts[part] = true end
  end
  return parts
end
-- Parts that somebody is about to take over, with whatever is reserved under them.
local function orphans(round, nodes)
  local waiting = {}
  for part in pairs(parts_of(round)) do
    if redis.call('HEXISTS', nodes, owner_of(round, part)) == 0
       and (heir_of(round, part, nodes) or is_on_disk(round, part)) then
      waiting[part] = true
    end
  end
  return waiting
end
