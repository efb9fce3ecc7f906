-- Writes down the state of a pipeline, if it is newer than what is written, and lets old events go: never one that is needed
-- to fold what came after the written state.
--
-- KEYS  life, p, s, f, e
-- ARGV  token, epoch, seq (what the state is of), the state, how many events are kept, the first seq that is young enough to be kept
--       ('' = all are), how many files follow; then of each: id, text ('' = it is no longer listed)
-- The files are all that changed since any state that was written before, or more.
-- Answers 'life', {'moved', epoch}, {'late', snap}, or {'ok', first seq that is kept}.
local life, p, s, f, e = unpack(KEYS)
if redis.call('HGET', life, 'token') ~= ARGV[1] then return { 'life' } end
local meta = redis.call('HMGET', p, 'epoch', 'seq', 'snap')
if meta[1] ~= ARGV[2] then return { 'moved', meta[1] or '' } end
local seq = tonumber(ARGV[3])
if seq <= tonumber(meta[3]) or seq > tonumber(meta[2]) then return { 'late', meta[3] } end

redis.call('SET', s, ARGV[4])
for i = 0, tonumber(ARGV[7]) - 1 do
  local id, text = ARGV[8 + i * 2], ARGV[9 + i * 2]
  if text == '' then redis.call('HDEL', f, id) else redis.call('HSET', f, id, text) end
end
redis.call('HSET', p, 'snap', ARGV[3])

local first = tonumber(meta[2]) - tonumber(ARGV[5]) + 1
if ARGV[6] ~= '' then first = math.max(first, tonumber(ARGV[6])) end
first = math.min(first, seq + 1)
if first > 1 then redis.call('XTRIM', e, 'MINID', string.format('%.0f-0', first)) end
local kept = redis.call('XRANGE', e, '-', '+', 'COUNT', 1)[1]
return { 'ok', kept and string.match(kept[1], '^%d+') or string.format('%.0f', tonumber(meta[2]) + 1) }
