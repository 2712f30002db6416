-- JobStore::Summarise: what the Servers have to say about an iteration that has ended, and who writes it down.
-- KEYS: instance, nodes, summary
-- ARGV: 1 instance, 2 iteration, 3 node id, 4 text, 5 expiry of the row (ms)
-- Answer: whether this node is the writer, recorded, complete, then a flat array of node id, text
--include publish
local own, nodes = ARGV[3], redis.call('HGETALL', KEYS[2])
local first = redis.call('HSET', KEYS[3], own, ARGV[4]) == 1
local here, texts, complete = {}, {}, 1
local row, writer, recorded = redis.call('HGETALL', KEYS[3]), nil, false
for i = 1, #row, 2 do
  if row[i] == 'writer' then
    writer = row[i + 1]
  elseif row[i] == 'recorded' then
    recorded = true
  else
    here[row[i]] = true
    texts[#texts + 1], texts[#texts + 2] = row[i], row[i + 1]
  end
end
local entered = {}
for i = 1, #nodes, 2 do
  entered[nodes[i]] = true
  if string.match(nodes[i + 1], '^SERVER ') and not here[nodes[i]] then complete = 0 end
end
-- Who is out of the cluster itself takes nothing over: it would lose it at once to the next one that looks.
if not recorded and (not writer or entered[own] and not entered[writer]) then
  writer = own
  redis.call('HSET', KEYS[3], 'writer', own)
end
redis.call('PEXPIRE', KEYS[3], ARGV[5])
if first then publish('summary', ARGV[1], ARGV[2]) end
return {writer == own and 1 or 0, recorded and 1 or 0, complete, texts}
