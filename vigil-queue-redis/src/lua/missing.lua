-- ARGV: 2.. tenant and action of each. Answers the places, from 1 on, of those that no task delivers.
local missing = {}
for place = 2, #ARGV do
  local key = ARGV[place]
  local id = redis.call('HGET', held, key)
  local found = id and is_kept(id)
  if not found then
    local tenant = string.match(key, '^(%S*) ')
    local number = string.match(redis.call('HGET', waiting, key) or '', '^(%d+) ')
    -- The list is first in, first out: what stands before its head, or in a list that is empty, is gone.
    found = number and redis.call('EXISTS', list_of(tenant)) == 1
      and tonumber(number) > tonumber(redis.call('HGET', heads, tenant) or '0')
    if not found then redis.call('HDEL', waiting, key) end
  end
  if not found then missing[#missing + 1] = place - 1 end
end
return missing
