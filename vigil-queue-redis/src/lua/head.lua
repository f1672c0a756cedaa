-- Every script begins with this. KEYS are those of keys.rs; ARGV[1] is what the lists of the other tenants begin with.
--
-- list       LIST  waiting tasks of the default tenant (JSON), oldest first; `tenant_prefix .. id` of the others
-- tasks      HASH  of a task that is claimed or scheduled, by its entry: its JSON; `:d` deliveries, `:t` token of the claim,
--                  `:k` tenant and action
-- leases     ZSET  entry -> when its lease runs out
-- scheduled  ZSET  entry -> when it is due: delayed, retried and rescued tasks
-- due        ZSET  tenants of whom something was scheduled and is due -> when they had their turn; `due_of` a tenant:
--                  ZSET entry -> its place
-- stats      HASH  tasks_enqueued, tasks_dequeued, tasks_completed, tasks_failed, last_processed (ms),
--                  others_at (ms): when a tenant but the default one last had a new task
-- seq              numbers for entries, tokens and places in the lists
-- waiting    HASH  tenant and action -> place and id of its waiting task
-- heads      HASH  tenant -> the last place that was taken off its list: what stood before it is gone
-- dead       LIST  dead letters (JSON), oldest first
-- turns      ZSET  tenants that have work -> when they had their turn
-- tenants    SET   every tenant but the default one that ever had a task
-- held       HASH  tenant and action -> the newest entry that delivers it
local list, tasks, leases, scheduled, stats, seq = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local waiting, heads, dead, turns, tenants, held, due = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function list_of(tenant) if tenant == '' then return list else return ARGV[1] .. tenant end end
local function due_of(tenant) return '{' .. list .. '}:due:' .. tenant end
local function next_number() return string.format('%.0f', redis.call('INCR', seq)) end
local function tenant_of(id) return string.match(redis.call('HGET', tasks, id .. ':k') or '', '^(%S*) ') or '' end
-- Whether an entry comes again by itself: somebody has it, or it has its time or its place.
local function is_kept(id)
  return redis.call('ZSCORE', leases, id) or redis.call('ZSCORE', scheduled, id) or redis.call('ZSCORE', due_of(tenant_of(id)), id)
end
-- What is due goes into the line of its tenant, a bounded number at a time.
local function promote()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, 500)) do
    local tenant = tenant_of(id)
    redis.call('ZREM', scheduled, id)
    redis.call('ZADD', due_of(tenant), next_number(), id)
    redis.call('ZADD', due, 'NX', next_number(), tenant)
  end
end
local function forget(id)
  local key = redis.call('HGET', tasks, id .. ':k')
  if key and redis.call('HGET', held, key) == id then redis.call('HDEL', held, key) end
  redis.call('HDEL', tasks, id, id .. ':d', id .. ':t', id .. ':k')
end
