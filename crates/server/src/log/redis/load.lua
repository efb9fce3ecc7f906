-- A pipeline as it was last written down. Writes nothing. What came after is read from there.
--
-- KEYS  life, p, s, f, e
-- ARGV  token
-- Answers 'life', 'unknown', or {'ok', epoch, seq, begins, type, snap, state ('' = none was written), {file id, text …},
--       first seq that is kept}.
local life, p, s, f, e = unpack(KEYS)
if redis.call('HGET', life, 'token') ~= ARGV[1] then return { 'life' } end
local meta = redis.call('HMGET', p, 'epoch', 'seq', 'begins', 'type', 'snap')
if not meta[1] then return { 'unknown' } end
local kept = redis.call('XRANGE', e, '-', '+', 'COUNT', 1)[1]
local first = kept and string.match(kept[1], '^%d+') or string.format('%.0f', tonumber(meta[2] or '0') + 1)
return { 'ok', meta[1], meta[2] or '0', meta[3], meta[4], meta[5], redis.call('GET', s) or '', redis.call('HGETALL', f), first }
