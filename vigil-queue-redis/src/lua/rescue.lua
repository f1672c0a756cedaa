-- ARGV: 2 how many at most, 3 where the search for orphans stands. Answers { how many, where it stands now }.
local limit = math.min(tonumber(ARGV[2]), 500)
local lost = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, limit)
local rescued = 0
local function put_back(id)
  redis.call('ZREM', leases, id)
  redis.call('HDEL', tasks, id .. ':t')
  redis.call('ZADD', scheduled, now, id)
  rescued = rescued + 1
end
for _, id in ipairs(lost) do put_back(id) end

-- An entry that has neither a lease nor a time, because somebody deleted a key, would never be seen again.
local page = redis.call('HSCAN', tasks, ARGV[3], 'COUNT', 200)
for place = 1, #page[2], 2 do
  local id = page[2][place]
  if rescued < limit and not string.find(id, ':', 1, true) and not is_kept(id) then put_back(id) end
end

-- Foreign producers push to the lists of other tenants without taking a turn; a turn may have been deleted.
local known = redis.call('SRANDMEMBER', tenants, 200)
known[#known + 1] = ''
for _, tenant in ipairs(known) do
  if redis.call('EXISTS', due_of(tenant)) == 1 then redis.call('ZADD', due, 'NX', next_number(), tenant) end
  if redis.call('EXISTS', list_of(tenant)) == 1 then redis.call('ZADD', turns, 'NX', next_number(), tenant) end
end
return { rescued, page[1] }
