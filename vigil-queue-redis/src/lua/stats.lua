-- Answers { ready, scheduled, leased, dead, enqueued, dequeued, completed, failed, last processed (ms, 0: never) }
local ready = redis.call('LLEN', list)
for _, tenant in ipairs(redis.call('ZRANGE', turns, 0, 9999)) do
  if tenant ~= '' then ready = ready + redis.call('LLEN', list_of(tenant)) end
end
promote()
for _, tenant in ipairs(redis.call('ZRANGE', due, 0, 9999)) do ready = ready + redis.call('ZCARD', due_of(tenant)) end
local late, all = redis.call('ZCOUNT', scheduled, '-inf', now), redis.call('ZCARD', scheduled)
local totals = redis.call('HMGET', stats, 'tasks_enqueued', 'tasks_dequeued', 'tasks_completed', 'tasks_failed', 'last_processed')
local answer = { ready + late, all - late, redis.call('ZCARD', leases), redis.call('LLEN', dead) }
for place = 1, 5 do answer[#answer + 1] = tonumber(totals[place] or '0') or 0 end
return answer
