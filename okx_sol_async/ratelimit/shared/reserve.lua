-- One bucket, as all processes see it. The server runs this as a whole, so nobody comes in between.
--
-- KEYS[1] holds the bucket as MessagePack: the fields below, then two numbers for each slot in use, its name and when
-- it is free again. All times are microseconds on the server's clock. A slot's name is the time it was reserved for.
--
-- ARGV[1] is what to do; what follows it stands where it is read.
local SEEN, LOST, LAST, PAUSED, INTERVAL, NEXT, CLEAN, STEP, CLEAN_TIME, EVEN = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local UNKNOWN = 1

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local packed = redis.call('GET', KEYS[1])
local bucket = packed and cmsgpack.unpack(packed) or { now, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

-- A clock that was set back takes the history with it, or everybody would wait for as long.
local back = math.max(bucket[SEEN] - now, 0)
bucket[SEEN] = now
for field = LOST, CLEAN do
  if field ~= INTERVAL then
    bucket[field] = bucket[field] - back
  end
end
local names, free_at = {}, {}
for index = EVEN + 1, #bucket, 2 do
  if bucket[index + 1] - back > now then
    names[#names + 1] = bucket[index]
    free_at[#free_at + 1] = bucket[index + 1] - back
  end
end

local function find(name)
  for index = 1, #names do
    if names[index] == name then
      return index
    end
  end
end

local function drop(index)
  if index then
    table.remove(names, index)
    table.remove(free_at, index)
  end
end

local function use(name, until_then)
  while find(name) do
    name = name + 1
  end
  names[#names + 1] = name
  free_at[#free_at + 1] = until_then
  return name
end

-- The pace becomes faster for each stretch of clean time, until bursts are allowed again.
while bucket[INTERVAL] > 0 and now - bucket[CLEAN] >= bucket[CLEAN_TIME] do
  bucket[CLEAN] = bucket[CLEAN] + bucket[CLEAN_TIME]
  bucket[INTERVAL] = bucket[INTERVAL] / bucket[STEP]
  if bucket[INTERVAL] <= bucket[EVEN] * (1 + 1e-9) then
    bucket[INTERVAL] = 0
  end
end

local answer = {}
local todo = ARGV[1]
if todo == 'reserve' then
  -- requests, how long a slot is in use, how far apart those are that wait, a slot to give back (or 0), and one that
  -- this process has just used (or 0; or below that, as many calls as it may have sent by itself).
  local requests, hold, apart = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
  drop(find(tonumber(ARGV[5])))
  local used = tonumber(ARGV[6])
  for _ = 1, -used do
    use(UNKNOWN, now + hold)
  end
  if used ~= 0 and not (used > 0 and find(used)) then
    if used > 0 then
      use(used, now + hold)
    end
    if now >= bucket[LOST] + hold then
      -- The history is gone. Whatever it was, it does not matter any more when one window has passed.
      bucket[LOST] = now
      bucket[PAUSED] = math.max(bucket[PAUSED], now + hold)
    end
  end
  local at = now
  if #free_at >= requests then
    local sorted = {}
    for index = 1, #free_at do
      sorted[index] = free_at[index]
    end
    table.sort(sorted)
    at = sorted[#sorted - requests + 1]
  end
  at = math.max(at, bucket[PAUSED])
  if bucket[INTERVAL] > 0 then
    at = math.max(at, bucket[NEXT])
  end
  if at > now then
    -- So that whoever has just left asks again after the others, and all take turns.
    at = math.max(at, bucket[LAST] + apart)
  end
  bucket[LAST] = at
  bucket[NEXT] = at + bucket[INTERVAL]
  answer = { math.ceil(at - now), use(math.ceil(at), at + hold), #names }
elseif todo == 'settle' then
  -- a slot, in how long it is free, 0 for at once; whether to count it even if nothing is known of it (1) or not (0).
  local name, ahead = tonumber(ARGV[2]), tonumber(ARGV[3])
  local index = find(name)
  if ahead == 0 then
    drop(index)
  elseif index then
    free_at[index] = now + ahead
  elseif ARGV[4] == '1' then
    use(name, now + ahead)
  end
elseif todo == 'refused' then
  -- the pause, the period within which refusals are one; then the pace if there is one: its first and its longest
  -- interval, the factor of a step, the clean time, and the interval at which bursts are allowed again.
  bucket[PAUSED] = math.max(bucket[PAUSED], now + tonumber(ARGV[2]))
  if #ARGV > 3 then
    if bucket[INTERVAL] == 0 then
      bucket[INTERVAL], bucket[CLEAN], bucket[NEXT] = tonumber(ARGV[4]), now, now
    elseif now - bucket[CLEAN] >= tonumber(ARGV[3]) then
      bucket[INTERVAL] = math.min(bucket[INTERVAL] * tonumber(ARGV[6]), tonumber(ARGV[5]))
      bucket[CLEAN] = now
    end
    bucket[STEP], bucket[CLEAN_TIME], bucket[EVEN] = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
  end
end

-- Nothing is kept for longer than it matters.
local matters_until = bucket[PAUSED]
if bucket[INTERVAL] > 0 then
  local steps = math.ceil(math.log(bucket[INTERVAL] / bucket[EVEN]) / math.log(bucket[STEP]))
  matters_until = math.max(matters_until, bucket[CLEAN] + bucket[CLEAN_TIME] * (steps + 1))
end
for index = EVEN + 1, #bucket do
  bucket[index] = nil
end
for index = 1, #names do
  bucket[#bucket + 1] = names[index]
  bucket[#bucket + 1] = free_at[index]
  matters_until = math.max(matters_until, free_at[index])
end
if matters_until > now then
  redis.call('SET', KEYS[1], cmsgpack.pack(bucket), 'PX', string.format('%.0f', math.ceil((matters_until - now) / 1000)))
else
  redis.call('DEL', KEYS[1])
end
return answer
