-- Reads events of a pipeline after a position. Writes nothing.
--
-- KEYS  life, p, e
-- ARGV  token, epoch, seq, at most so many, or 'extent' and the last seq: then only how many bytes there are
-- Answers 'life', 'unknown', {'epoch', epoch}, {'trimmed', epoch, seq of the end}, or
--       {'ok', epoch, seq of the end, events as XRANGE gives them | bytes}.
-- An epoch '' stands for whatever epoch there is.
local life, p, e = unpack(KEYS)
local function number(n) return string.format('%.0f', n) end
if redis.call('HGET', life, 'token') ~= ARGV[1] then return { 'life' } end
local meta = redis.call('HMGET', p, 'epoch', 'seq', 'begins', 'bytes')
if not meta[1] then return { 'unknown' } end
if ARGV[2] ~= '' and ARGV[2] ~= meta[1] then return { 'epoch', meta[1] } end
local seq, ends = tonumber(ARGV[3]), tonumber(meta[2])
-- In no epoch in particular, what came before it is asked for as well.
local begins = ARGV[2] == '' and 1 or tonumber(meta[3])
if seq + 1 < begins then return { 'trimmed', meta[1], meta[2] } end
if seq >= ends then return { 'ok', meta[1], meta[2], ARGV[4] == 'extent' and '0' or {} } end

local function before(entry)
  local fields = entry[2]
  return tonumber(fields[8]) - #fields[2] - #fields[4]
end
if ARGV[4] == 'extent' then
  local last = math.min(tonumber(ARGV[5]), ends)
  local first = redis.call('XRANGE', e, number(seq + 1) .. '-0', '+', 'COUNT', 1)[1]
  if not first or first[1] ~= number(seq + 1) .. '-0' then return { 'trimmed', meta[1], meta[2] } end
  local to = tonumber(meta[4])
  if last < ends then
    local following = redis.call('XRANGE', e, number(last + 1) .. '-0', '+', 'COUNT', 1)[1]
    to = following and before(following) or to
  end
  return { 'ok', meta[1], meta[2], number(math.max(to - before(first), 0)) }
end
local events = redis.call('XRANGE', e, number(seq + 1) .. '-0', '+', 'COUNT', ARGV[4])
if not events[1] or events[1][1] ~= number(seq + 1) .. '-0' then return { 'trimmed', meta[1], meta[2] } end
return { 'ok', meta[1], meta[2], events }
