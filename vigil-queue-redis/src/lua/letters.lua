-- ARGV: 2 what: page, revive, discard or purge; 3 tenant; 4 the number before the page, the letter's id, or the age (ms); 5 how
-- many at most. Answers the letters, oldest first; unless it is a page, they are no longer kept.
local what, tenant, with, max = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local found = {}
for _, json in ipairs(redis.call('LRANGE', dead, 0, -1)) do
  if #found >= max then break end
  local letter = cjson.decode(json)
  local wanted = (letter.tenant or '') == tenant
  if what == 'page' then wanted = wanted and tonumber(letter.n or '0') > tonumber(with)
  elseif what == 'purge' then wanted = wanted and letter.at <= now - tonumber(with)
  else wanted = wanted and letter.id == with end
  if wanted then
    found[#found + 1] = json
    if what ~= 'page' then redis.call('LREM', dead, 1, json) end
    if what == 'revive' then
      local number = next_number()
      local action = string.match(letter.task, '"action_id"%s*:%s*(%-?%d+)') or '?'
      redis.call('HSET', waiting, tenant .. ' ' .. action, number .. ' ' .. letter.id)
      redis.call('ZADD', turns, 'NX', number, tenant)
      redis.call('RPUSH', list_of(tenant), letter.task)
      redis.call('HINCRBY', stats, 'tasks_enqueued', 1)
    end
  end
end
return found
