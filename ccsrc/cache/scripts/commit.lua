-- JobStore::Commit: the update of one device is in a Server's sum.
-- KEYS: instance, status, nodes, round, updates
-- ARGV: 1 instance, 2 iteration, 3 fl_id, 4 nonce, 5 node id, 6 epoch, 7 threshold, 8 window of the round (ms), 9 digest
-- Answer: verdict, counted, last
--include clock
--include publish
--include give_back
--include part
local COUNTED, MOVED, FENCED = 0, 1, 2

local lease = ' ' .. ARGV[5] .. ' ' .. ARGV[6] .. ' ' .. ARGV[4]
local update = redis.call('HGET', KEYS[5], ARGV[3])
local of_node, of_epoch = 'counted:' .. ARGV[5], 'leased:' .. ARGV[6]
local round = redis.call('HMGET', KEYS[4], 'leased', 'counted', of_node, of_epoch, 'last_commit', 'target',
                         'owner:' .. ARGV[5])
local counted = tonumber(round[2] or 0)
-- Sent twice: what was counted stays counted, wherever the job is by now.
if update == 'counted' .. lease .. ' ' .. ARGV[9] then return {COUNTED, counted, round[5] == ARGV[4] and 1 or 0} end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {MOVED, 0, 0} end
local status = redis.call('HMGET', KEYS[2], 'iteration', 'state')
if status[1] ~= ARGV[2] or status[2] ~= '0' then return {MOVED, 0, 0} end
if update ~= 'leased' .. lease then return {FENCED, counted, 0} end
-- A lease of an older epoch that is still there was given to nobody else: its Server has entered again.
if round[7] or redis.call('HEXISTS', KEYS[3], ARGV[5]) == 0 then
  -- Its sum holds what it will not count, so it does not get its part back when it enters again, unless the part is lost.
  local all = read_round(KEYS[4])
  if not round[7] and (tonumber(round[3] or 0) == 0 or heir_of(all, ARGV[5], KEYS[3])) then
    redis.call('HSET', KEYS[4], 'owner:' .. ARGV[5], '-')
    publish('nodes', ARGV[1], ARGV[2])
  end
  give_back(KEYS[4], KEYS[5], {[ARGV[6]] = true}, orphans(read_round(KEYS[4]), KEYS[3]), ARGV[1], ARGV[2],
            ARGV[7], ARGV[8])
  return {FENCED, counted, 0}
end

counted = counted + 1
local last = counted == tonumber(round[6] or ARGV[7])
redis.call('HSET', KEYS[5], ARGV[3], 'counted' .. lease .. ' ' .. ARGV[9])
redis.call('HSET', KEYS[4], 'leased', tonumber(round[1]) - 1, 'counted', counted, of_node,
           tonumber(round[3] or 0) + 1, of_epoch, tonumber(round[4]) - 1)
if last then
  redis.call('HSET', KEYS[4], 'last_commit', ARGV[4])
  publish('counted_full', ARGV[1], ARGV[2])
end
return {COUNTED, counted, last and 1 or 0}
