-- ARGV: 2 entry, 3 token, 4 what: ack, retry or dead; 5 delay (ms) of a retry, or why it is dead; 6 how many dead letters are kept
local id = ARGV[2]
if redis.call('HGET', tasks, id .. ':t') ~= ARGV[3] or redis.call('ZREM', leases, id) == 0 then return 0 end
if ARGV[4] == 'retry' then
  redis.call('HDEL', tasks, id .. ':t')
  redis.call('ZADD', scheduled, now + tonumber(ARGV[5]), id)
  return 1
end
if ARGV[4] == 'dead' then
  local task, number = redis.call('HGET', tasks, id) or '', next_number()
  local tenant = tenant_of(id)
  local name = string.match(task, '"task_id"%s*:%s*"([^"]+)"') or ('letter_' .. number)
  redis.call('RPUSH', dead, cjson.encode({ at = now, reason = ARGV[5], task = task, id = name, n = number, tenant = tenant }))
  redis.call('LTRIM', dead, -tonumber(ARGV[6]), -1)
  redis.call('HINCRBY', stats, 'tasks_failed', 1)
else
  redis.call('HINCRBY', stats, 'tasks_completed', 1)
end
redis.call('HSET', stats, 'last_processed', string.format('%.0f', now))
forget(id)
return 1
