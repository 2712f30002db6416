-- Milliseconds until the nearest of the given deadlines (texts, false where there is none); negative when it has
-- passed, false when there is none at all.
local function deadline_in(now, first, second, third)
  local nearest = tonumber(first or nil)
  second, third = tonumber(second or nil), tonumber(third or nil)
  if second and (not nearest or second < nearest) then nearest = second end
  if third and (not nearest or third < nearest) then nearest = third end
  return nearest and nearest - now
end
