-- Moves from `status` to the next iteration. `state` is the state to be in, but Running past the last iteration is
-- Finish. The rows of the iteration that ends are at KEYS[3], KEYS[4] and KEYS[5]. Without a digest the next iteration
-- starts from the same model.
local function move(instance, status, state, valid, reason, nonce, iterations, digest)
  local number = tonumber(status.iteration) + 1
  if state == '0' and number > tonumber(iterations) then state = '2' end
  status.iteration, status.state, status.valid, status.reason = integer(number), state, valid, reason
  redis.call('HSET', KEYS[2], 'iteration', status.iteration, 'state', state, 'valid', valid, 'reason', reason,
             'moved_by', nonce)
  if digest and digest ~= '' then
    status.digest = digest
    redis.call('HSET', KEYS[2], 'digest', digest)
  end
  for row = 3, 5 do redis.call('PEXPIRE', KEYS[row], 60000) end
  publish('moved', instance, status.iteration)
end
