-- ARGV: 2 lease (ms), 3 how many at most. Answers { wait until the next scheduled one (ms, -1: none), whether other tenants
-- had new tasks in the last minute (1 or 0), task, task... }, each task { entry, token, deliveries, tenant, JSON }. What is scheduled and due takes turns with the lists, and
-- the tenants take turns with each other in both: neither what comes again and again nor what is new keeps the other waiting.
local lease, max = tonumber(ARGV[2]), math.min(tonumber(ARGV[3]), 100)
local claimed = {}
local handed_out = tonumber(redis.call('HGET', stats, 'tasks_dequeued') or '0') or 0

local function hand_out(id, deliveries, tenant, json)
  -- The time makes it another one than any from before the numbers were forgotten.
  local token = string.format('%s.%06d.%s', time[1], time[2], next_number())
  redis.call('HSET', tasks, id .. ':d', deliveries, id .. ':t', token)
  redis.call('ZADD', leases, now + lease, id)
  handed_out = redis.call('HINCRBY', stats, 'tasks_dequeued', 1)
  claimed[#claimed + 1] = { id, token, deliveries, tenant, json }
end

-- Both answer whether there was something.
local function from_schedule()
  while true do
    local tenant = redis.call('ZRANGE', due, 0, 0)[1]
    if not tenant then return false end
    local id = redis.call('ZPOPMIN', due_of(tenant))[1]
    if id then
      redis.call('ZADD', due, next_number(), tenant)
      local known = redis.call('HMGET', tasks, id, id .. ':d')
      if known[1] then
        hand_out(id, (tonumber(known[2]) or 0) + 1, tenant, known[1])
        return true
      end
      forget(id)
    else
      redis.call('ZREM', due, tenant)
    end
  end
end

local function from_lists()
  -- A foreign producer pushes without taking a turn.
  if redis.call('EXISTS', list) == 1 and not redis.call('ZSCORE', turns, '') then
    redis.call('ZADD', turns, next_number(), '')
  end
  while true do
    local tenant = redis.call('ZRANGE', turns, 0, 0)[1]
    if not tenant then return false end
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
      return true
    end
    redis.call('ZREM', turns, tenant)
  end
end

promote()
while #claimed < max do
  local first, second = from_schedule, from_lists
  if handed_out % 2 == 1 then first, second = second, first end
  if not first() and not second() then break end
end

local first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
local others_at = tonumber(redis.call('HGET', stats, 'others_at') or '0') or 0
table.insert(claimed, 1, now - others_at < 60000 and 1 or 0)
table.insert(claimed, 1, first[2] and math.max(tonumber(first[2]) - now, 0) or -1)
return claimed
