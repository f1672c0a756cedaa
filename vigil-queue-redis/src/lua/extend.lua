-- ARGV: 2 entry, 3 token, 4 lease (ms)
if redis.call('HGET', tasks, ARGV[2] .. ':t') ~= ARGV[3] or not redis.call('ZSCORE', leases, ARGV[2]) then return 0 end
redis.call('ZADD', leases, now + tonumber(ARGV[4]), ARGV[2])
return 1
