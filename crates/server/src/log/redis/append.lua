-- Appends events of one pipeline at the position they were planned on: all of them, or none.
--
-- KEYS  life, feed, pipelines, due, spans, p, e, l, d0 … d7 (all of one hash tag)
-- ARGV  token, pipeline, epoch, seq (the position; epoch '' where there is no such pipeline yet), new epoch, type,
--       now (ms; '' = Redis's clock), entries kept in the feed, ids from which on a bucket is full, ms an id is kept, most ids,
--       how many records, ids to remember, and lease changes follow; then these:
--       a record: name, payload, reporter ('' = none), id ('' = none); an id; a change: what, reporter, seconds
-- Changes of leases: 'lapsed' (only if it has ended; it goes), 'alone' (only if nobody else has one, but for those that lapse here), 'renew', 'leave'.
-- Answers 'life', {'moved', epoch, seq}, {'taken', index …} from 0, {'heard', reporter …}, or {'ok', seq, snap}.
--
-- Nothing is written before the last check.
local life, feed, pipelines, due, spans, p, e, l = unpack(KEYS, 1, 8)
local IDS = 8 -- the ids begin at the next key
local BUCKETS, AT_ONCE = 8, 1000
local function number(n) return string.format('%.0f', n) end

if redis.call('HGET', life, 'token') ~= ARGV[1] then return { 'life' } end
local pipeline = ARGV[2]
local meta = redis.call('HMGET', p, 'epoch', 'seq', 'snap', 'bytes', 'bucket')
local epoch, seq = meta[1] or '', tonumber(meta[2] or '0')
if epoch ~= ARGV[3] or seq ~= tonumber(ARGV[4]) then return { 'moved', epoch, number(seq) } end

local now = ARGV[7]
if now == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(now)
end
local records, remember, leases = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local first_record = 15
local first_id = first_record + records * 4
local first_lease = first_id + remember

-- What there is nothing of cannot remember anything.
if epoch == '' and records == 0 then return { 'ok', '0', '0' } end

-- Ids that were taken before.
local ids, index = {}, {}
for i = 0, records - 1 do
  local id = ARGV[first_record + i * 4 + 3]
  if id ~= '' then
    ids[#ids + 1] = id
    index[#index + 1] = i
  end
end
local taken = {}
for from = 1, #ids, AT_ONCE do
  local to = math.min(from + AT_ONCE - 1, #ids)
  for bucket = 1, BUCKETS do
    local found = redis.call('SMISMEMBER', KEYS[IDS + bucket], unpack(ids, from, to))
    for i, is in ipairs(found) do
      if is == 1 then taken[index[from + i - 1]] = true end
    end
  end
end
if next(taken) then
  local answer = { 'taken' }
  for i = 0, records - 1 do
    if taken[i] then answer[#answer + 1] = i end
  end
  return answer
end

-- Leases that the plan relies on. Those that it takes away as ended are nobody's.
local heard, over = { 'heard' }, {}
for i = 0, leases - 1 do
  if ARGV[first_lease + i * 3] == 'lapsed' then over[ARGV[first_lease + i * 3 + 1]] = true end
end
for i = 0, leases - 1 do
  local what, reporter = ARGV[first_lease + i * 3], ARGV[first_lease + i * 3 + 1]
  if what == 'lapsed' then
    local ends = redis.call('ZSCORE', due, pipeline .. ' ' .. reporter)
    if not ends or tonumber(ends) > now then heard[#heard + 1] = reporter end
  elseif what == 'alone' then
    for _, other in ipairs(redis.call('SMEMBERS', l)) do
      if other ~= reporter and not over[other] then heard[#heard + 1] = other end
    end
  end
end
if #heard > 1 then return heard end

-- From here on it is done.
if epoch == '' then
  epoch = ARGV[5]
  redis.call('SADD', pipelines, pipeline)
  redis.call('HSET', p, 'epoch', epoch, 'begins', '1', 'type', ARGV[6], 'snap', '0')
end
local bytes = tonumber(meta[4] or '0')
for i = 0, records - 1 do
  local at = first_record + i * 4
  local name, payload, reporter = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  seq = seq + 1
  bytes = bytes + #name + #payload
  redis.call('XADD', e, number(seq) .. '-0', 'n', name, 'd', payload, 'r', reporter, 'b', number(bytes))
end
redis.call('HSET', p, 'seq', number(seq), 'bytes', number(bytes))

for i = 0, remember - 1 do ids[#ids + 1] = ARGV[first_id + i] end
if #ids > 0 then
  local bucket = tonumber(meta[5] or '0')
  local key = KEYS[IDS + bucket + 1]
  for from = 1, #ids, AT_ONCE do
    redis.call('SADD', key, unpack(ids, from, math.min(from + AT_ONCE - 1, #ids)))
  end
  redis.call('HSET', p, 'newest' .. bucket, number(now))
  if redis.call('SCARD', key) >= tonumber(ARGV[9]) then
    -- The next bucket is the oldest. It goes where its ids are old enough, or there are as many as there may be.
    local after = (bucket + 1) % BUCKETS
    local newest = tonumber(redis.call('HGET', p, 'newest' .. after) or '-1')
    local all = 0
    for i = 1, BUCKETS do all = all + redis.call('SCARD', KEYS[IDS + i]) end
    if newest < now - tonumber(ARGV[10]) or all >= tonumber(ARGV[11]) then
      redis.call('UNLINK', KEYS[IDS + after + 1])
      redis.call('HSET', p, 'bucket', after)
    end
  end
end

for i = 0, leases - 1 do
  local at = first_lease + i * 3
  local what, reporter, seconds = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local who = pipeline .. ' ' .. reporter
  if what == 'renew' then
    redis.call('ZADD', due, number(now + tonumber(seconds) * 1000), who)
    redis.call('HSET', spans, who, seconds)
    redis.call('SADD', l, reporter)
  elseif what ~= 'alone' then
    redis.call('ZREM', due, who)
    redis.call('HDEL', spans, who)
    redis.call('SREM', l, reporter)
  end
end

if records > 0 then
  local entry = redis.call('HINCRBY', life, 'feed', 1)
  redis.call('XADD', feed, 'MAXLEN', '~', ARGV[8], number(entry) .. '-0', 'p', pipeline, 's', number(seq))
end
return { 'ok', number(seq), meta[3] or '0' }
