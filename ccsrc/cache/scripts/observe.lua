-- JobStore::Observe, and the plain reading of the status.
-- KEYS: instance, status, nodes, round
-- ARGV: 1 instance, 2 iteration, 3 threshold of updateModel
-- Answer: as parts/status; if the iteration is ARGV[2], then started, leased, counted, ms until the nearest deadline or
--         nil, whether a node with counted updates is gone, the target or nil, the window that set it, and the nodes
--         with counted updates as a flat array of node id, tcp address, number; none until every update is counted
--include clock
--include deadline
--include status
local status, fault = read_status(ARGV[1])
if not status then return fault end
if status.iteration ~= ARGV[2] then return tell(ARGV[1], status) end

local round, rows = {}, redis.call('HGETALL', KEYS[4])
local lost, holders = 0, {}
for i = 1, #rows, 2 do
  round[rows[i]] = rows[i + 1]
  local node = string.match(rows[i], '^counted:(.*)$')
  if node and tonumber(rows[i + 1]) > 0 then
    local entered = redis.call('HGET', KEYS[3], node)
    if entered then
      for _, word in ipairs({node, string.match(entered, '^%S+ (%S+)') or '', tonumber(rows[i + 1])}) do
        holders[#holders + 1] = word
      end
    else
      lost = 1
    end
  end
end
-- They are of no use before, and this is asked often.
if tonumber(round.counted or 0) < tonumber(round.target or ARGV[3]) then holders = {} end
return tell(ARGV[1], status, tonumber(round.started or 0), tonumber(round.leased or 0), tonumber(round.counted or 0),
            deadline_in(now_ms(), round.start_by, round.update_by, round.global_by) or false, lost,
            round.target and tonumber(round.target) or false, round.timeout or '', holders)
