-- ARGV: 2 lease (ms), 3 how many at most. Answers { wait until the next scheduled one (ms, -1: none), how many other tenants
-- there are, task, task... }, each task { entry, token, deliveries, tenant, JSON }. What is scheduled and due goes first, then the tenants take turns.
local lease, max = tonumber(ARGV[2]), math.min(tonumber(ARGV[3]), 100)
local claimed = {}

local function hand_out(id, deliveries, tenant, json)
  local token = next_number()
  redis.call('HSET', tasks, id .. ':d', deliveries, id .. ':t', token)
  redis.call('ZADD', leases, now + lease, id)
  redis.call('HINCRBY', stats, 'tasks_dequeued', 1)
  claimed[#claimed + 1] = { id, token, deliveries, tenant, json }
end

local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, max)
for _, id in ipairs(due) do
  redis.call('ZREM', scheduled, id)
  local known = redis.call('HMGET', tasks, id, id .. ':d', id .. ':k')
  if known[1] then
    local tenant = string.match(known[3] or '', '^(%S*) ') or ''
    hand_out(id, (tonumber(known[2]) or 0) + 1, tenant, known[1])
  else
    forget(id)
  end
end

-- A foreign producer pushes without taking a turn.
if #claimed < max and redis.call('EXISTS', list) == 1 and not redis.call('ZSCORE', turns, '') then
  redis.call('ZADD', turns, next_number(), '')
end
while #claimed < max do
  local tenant = redis.call('ZRANGE', turns, 0, 0)[1]
  if not tenant then break end
  local json = redis.call('LPOP', list_of(tenant))
  if json then
    local id = next_number()
    redis.call('ZADD', turns, id, tenant)
    local key = tenant .. ' ' .. (string.match(json, '"action_id"%s*:%s*(%-?%d+)') or '?')
    redis.call('HSET', tasks, id, json, id .. ':k', key)
    redis.call('HSET', held, key, id)
    local place, task = string.match(redis.call('HGET', waiting, key) or '', '^(%d+) (.*)$')
    if task and task == string.match(json, '"task_id"%s*:%s*"([^"]*)"') then
      redis.call('HDEL', waiting, key)
      if tonumber(place) > tonumber(redis.call('HGET', heads, tenant) or '0') then redis.call('HSET', heads, tenant, place) end
    end
    hand_out(id, 1, tenant, json)
  else
    redis.call('ZREM', turns, tenant)
  end
end

local first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
table.insert(claimed, 1, redis.call('SCARD', tenants))
table.insert(claimed, 1, first[2] and math.max(tonumber(first[2]) - now, 0) or -1)
return claimed
