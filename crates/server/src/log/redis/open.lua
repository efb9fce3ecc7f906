-- Begins the life of a shard, goes on with it, or renews it where its end may have been lost. The first call on every new connection.
--
-- KEYS  life, feed, pipelines
-- ARGV  a token that no life had, 'always' where every write waits for the disk (else ''), the format, how many shards there are,
--       'renew' to begin a new life in any case (else '')
-- Answers {'ok', token, number of the last feed entry, 'begun' | 'same' | 'kept' | 'renewed'},
--       'replica', or {'other', format, shards} where the shard was made otherwise.
--
-- It writes to keys of its pipelines, which are not in KEYS, but of the same hash tag and so in the same slot.
local life, feed, pipelines = unpack(KEYS)
local token, fsync = ARGV[1], ARGV[2]
local replication = redis.call('INFO', 'replication')
if not string.find(replication, 'role:master', 1, true) then return { 'replica' } end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local was_replica = not string.find(replication, 'master_replid2:0000000000', 1, true)

local known = redis.call('HMGET', life, 'token', 'run', 'fsync', 'format', 'shards', 'feed')
if known[1] and (known[4] ~= ARGV[3] or known[5] ~= ARGV[4]) then return { 'other', known[4], known[5] } end
local entry = known[6] or '0'
if known[1] and ARGV[5] == '' then
  if known[2] == run then
    if known[3] ~= fsync then redis.call('HSET', life, 'fsync', fsync) end
    return { 'ok', known[1], entry, 'same' }
  end
  if known[3] == 'always' and fsync == 'always' and not was_replica then
    redis.call('HSET', life, 'run', run)
    return { 'ok', known[1], entry, 'kept' }
  end
end

-- A new life: new epochs, in which the count goes on.
local ids = redis.call('SMEMBERS', pipelines)
redis.call('HSET', life, 'token', token, 'run', run, 'fsync', fsync, 'format', ARGV[3], 'shards', ARGV[4], 'feed', entry)
local tag = string.sub(pipelines, 1, string.find(pipelines, '}', 1, true))
for _, id in ipairs(ids) do
  local p = tag .. ':p:' .. id
  local seq = tonumber(redis.call('HGET', p, 'seq') or '0')
  redis.call('HSET', p, 'epoch', token, 'begins', string.format('%.0f', seq + 1))
end
if not known[1] and #ids == 0 then
  -- Entries of a feed that was left alone would be in the way of those to come.
  redis.call('UNLINK', feed)
  return { 'ok', token, entry, 'begun' }
end
return { 'ok', token, entry, 'renewed' }
