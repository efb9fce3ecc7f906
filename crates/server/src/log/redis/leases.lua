-- The leases of a pipeline, ended or not. Writes nothing.
--
-- KEYS  life, due, spans, l
-- ARGV  token, pipeline, now (ms; '' = Redis's clock)
-- Answers 'life', or {'ok', then of each: reporter, ms that are left (0 = it has ended), its length in seconds}.
local life, due, spans, l = unpack(KEYS)
if redis.call('HGET', life, 'token') ~= ARGV[1] then return { 'life' } end
local now = ARGV[3]
if now == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(now)
end
local answer = { 'ok' }
for _, reporter in ipairs(redis.call('SMEMBERS', l)) do
  local who = ARGV[2] .. ' ' .. reporter
  local ends, seconds = redis.call('ZSCORE', due, who), redis.call('HGET', spans, who)
  if ends and seconds then
    answer[#answer + 1] = reporter
    answer[#answer + 1] = string.format('%.0f', math.max(tonumber(ends) - now, 0))
    answer[#answer + 1] = seconds
  end
end
return answer
