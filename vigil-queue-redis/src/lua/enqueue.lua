-- ARGV: 2 tenant, 3 action, 4 task id, 5 JSON, 6 delay (ms)
local tenant, key, delay = ARGV[2], ARGV[2] .. ' ' .. ARGV[3], tonumber(ARGV[6])
local number = next_number()
if delay > 0 then
  redis.call('HSET', tasks, number, ARGV[5], number .. ':d', 0, number .. ':k', key)
  redis.call('ZADD', scheduled, now + delay, number)
  redis.call('HSET', held, key, number)
else
  redis.call('HSET', waiting, key, number .. ' ' .. ARGV[4])
  redis.call('ZADD', turns, 'NX', number, tenant)
  redis.call('RPUSH', list_of(tenant), ARGV[5])
end
if tenant ~= '' then
  redis.call('SADD', tenants, tenant)
  redis.call('HSET', stats, 'others_at', now)
end
redis.call('HINCRBY', stats, 'tasks_enqueued', 1)
return 1
