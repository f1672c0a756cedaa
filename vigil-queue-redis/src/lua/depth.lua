-- ARGV: 2 tenant. Answers how many of its tasks wait to be claimed, and how many dead letters it has.
local tenant, letters = ARGV[2], 0
promote()
for _, json in ipairs(redis.call('LRANGE', dead, 0, -1)) do
  if (cjson.decode(json).tenant or '') == tenant then letters = letters + 1 end
end
return { redis.call('LLEN', list_of(tenant)) + redis.call('ZCARD', due_of(tenant)), letters }
