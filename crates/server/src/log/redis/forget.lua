-- Deletes a pipeline, at a position, with its history, ids, state and leases, and has every node know.
--
-- KEYS  life, feed, pipelines, due, spans, p, e, l, d0 … d7, s, f
-- ARGV  token, pipeline, epoch ('' = wherever it is), seq, entries kept in the feed
-- Answers 'life', {'moved', epoch, seq}, or {'ok'}. One that is not there is forgotten already.
local life, feed, pipelines, due, spans, p, e, l = unpack(KEYS, 1, 8)
if redis.call('HGET', life, 'token') ~= ARGV[1] then return { 'life' } end
local pipeline = ARGV[2]
local meta = redis.call('HMGET', p, 'epoch', 'seq')
if not meta[1] then return { 'ok' } end
if ARGV[3] ~= '' and (meta[1] ~= ARGV[3] or tonumber(meta[2] or '0') ~= tonumber(ARGV[4])) then
  return { 'moved', meta[1], meta[2] or '0' }
end
for _, reporter in ipairs(redis.call('SMEMBERS', l)) do
  redis.call('ZREM', due, pipeline .. ' ' .. reporter)
  redis.call('HDEL', spans, pipeline .. ' ' .. reporter)
end
redis.call('UNLINK', unpack(KEYS, 6))
redis.call('SREM', pipelines, pipeline)
local entry = redis.call('HINCRBY', life, 'feed', 1)
redis.call('XADD', feed, 'MAXLEN', '~', ARGV[5], string.format('%.0f-0', entry), 'p', pipeline, 's', '0')
return { 'ok' }
