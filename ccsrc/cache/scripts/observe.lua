-- JobStore::Observe, and the plain reading of the status.
-- KEYS: instance, status, nodes, round
-- ARGV: 1 instance, 2 iteration, 3 threshold of updateModel
-- Answer: as parts/status; if the iteration is ARGV[2], then started, leased, counted, ms until the nearest deadline or
--         nil, whether a part is lost, the target or nil, the window that set it, the owners of parts as a flat array of
--         node id, tcp address, number of updates, none until every update is counted and every part has an owner; and
--         the parts that are to be taken over, as a flat array of part, node id of the heir
--include clock
--include deadline
--include status
--include part
local status, fault = read_status(ARGV[1])
if not status then return fault end
if status.iteration ~= ARGV[2] then return tell(ARGV[1], status) end

local round = read_round(KEYS[4])
local complete = tonumber(round.counted or 0) >= tonumber(round.target or ARGV[3])
local lost, counts, waiting = 0, {}, {}
for part in pairs(parts_of(round)) do
  local owner, count = owner_of(round, part), tonumber(round['counted:' .. part] or 0)
  if redis.call('HEXISTS', KEYS[3], owner) == 1 then
    if count > 0 then counts[owner] = (counts[owner] or 0) + count end
  else
    local heir = heir_of(round, part, KEYS[3])
    if heir then
      waiting[#waiting + 1], waiting[#waiting + 2] = part, heir
    elseif count > 0 and (complete or not is_on_disk(round, part)) then
      lost = 1
    end
  end
end
-- They are of no use before, and this is asked often.
local owners = {}
if #waiting == 0 and complete then
  for owner, count in pairs(counts) do
    local entered = redis.call('HGET', KEYS[3], owner)
    for _, word in ipairs({owner, string.match(entered, '^%S+ (%S+)') or '', count}) do owners[#owners + 1] = word end
  end
end
return tell(ARGV[1], status, tonumber(round.started or 0), tonumber(round.leased or 0), tonumber(round.counted or 0),
            deadline_in(now_ms(), round.start_by, round.update_by, round.global_by) or false, lost,
            round.target and tonumber(round.target) or false, round.timeout or '', owners, waiting)
