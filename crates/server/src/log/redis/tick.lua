-- The look at leases: which have ended, by one clock for all nodes. After a time in which nobody looked, and so nobody could be
-- heard, all begin anew before any has ended.
--
-- KEYS  life, due, spans
-- ARGV  token, now (ms; '' = Redis's clock), after how many ms without a look they begin anew, at most so many
-- Answers 'life', or {'ok', 'whole' | 'anew', 'pipeline reporter' …}.
local life, due, spans = unpack(KEYS)
local known = redis.call('HMGET', life, 'token', 'alive')
if known[1] ~= ARGV[1] then return { 'life' } end
local now = ARGV[2]
if now == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(now)
end
local function number(n) return string.format('%.0f', n) end
local alive = tonumber(known[2] or '0')
local answer = { 'ok', 'whole' }
if not known[2] or now - alive > tonumber(ARGV[3]) then
  answer[2] = 'anew'
  local all = redis.call('HGETALL', spans)
  for i = 1, #all, 2 do
    redis.call('ZADD', due, number(now + tonumber(all[i + 1]) * 1000), all[i])
  end
end
if now > alive then redis.call('HSET', life, 'alive', number(now)) end
for _, who in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', number(now), 'LIMIT', 0, ARGV[4])) do
  answer[#answer + 1] = who
end
return answer
