-- Lets old events of a pipeline go, by their number, age and size: never one that is needed to fold what came after the written state.
--
-- KEYS  life, p, e
-- ARGV  token, epoch, how many events are kept, received before when they go (as payloads have it; '' = at no time), how many bytes are kept
--       ('' = any)
-- Answers 'life', {'moved', epoch}, or {'ok', first seq that is kept, when it was received ('' where nothing is kept), bytes that are kept}.
local life, p, e = unpack(KEYS)
local function number(n) return string.format('%.0f', n) end
if redis.call('HGET', life, 'token') ~= ARGV[1] then return { 'life' } end
local meta = redis.call('HMGET', p, 'epoch', 'seq', 'snap', 'bytes')
if meta[1] ~= ARGV[2] then return { 'moved', meta[1] or '' } end
local ends, snap, bytes = tonumber(meta[2]), tonumber(meta[3] or '0'), tonumber(meta[4] or '0')
local before, room = ARGV[4], ARGV[5] == '' and math.huge or tonumber(ARGV[5])

local function at(seq) return redis.call('XRANGE', e, number(seq) .. '-0', '+', 'COUNT', 1)[1] end
local function seq_of(entry) return tonumber(string.match(entry[1], '^%d+')) end
local function size_before(entry) return tonumber(entry[2][8]) - #entry[2][2] - #entry[2][4] end
-- The shared fields come first, and none before it holds a text that could look like it.
local function received(entry) return string.match(entry[2][4], '"received_at":"([^"]+)"') or '' end
local function stays(entry)
  return bytes - size_before(entry) <= room and (before == '' or received(entry) >= before)
end

local first = at(0)
if not first then return { 'ok', number(ends + 1), '', '0' } end
local low = math.max(seq_of(first), ends - tonumber(ARGV[3]) + 1)
local entry = at(low)
if entry and not stays(entry) then
  -- Places have no holes, and both sizes and times only grow: the first that stays is found by halving.
  local high = ends + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = at(middle)
    if found and stays(found) then high = middle else low = middle + 1 end
  end
end
low = math.min(low, snap + 1)
if low > seq_of(first) then redis.call('XTRIM', e, 'MINID', number(low) .. '-0') end
local kept = at(0)
if not kept then return { 'ok', number(ends + 1), '', '0' } end
return { 'ok', number(seq_of(kept)), received(kept), number(bytes - size_before(kept)) }
