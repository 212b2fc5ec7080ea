-- One bucket, as all processes see it. The server runs this as a whole, so commands never interleave.
--
-- KEYS[1] holds the bucket as MessagePack. Its `slots` are the calls that left lately or wait to leave, in order of
-- arrival: a `ticket`, when the call leaves (`at`), and when its slot is free again (`free_at`). All times are
-- microseconds on the server's clock. A ticket is a number: the process that has drawn it, and a count.
-- ARGV[1] is the command; its arguments are described where they are read.
local FORMAT, UNKNOWN, PER_PROCESS, LATELY, FAR = 2, 1, 2 ^ 20, 10 * 1000000, 4e15
-- How long a process may take to ask for its next waiting call, before calls in the background may leave.
local NEXT_CALL = 100 * 1000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.pcall('GET', KEYS[1])
local readable, bucket = pcall(cmsgpack.unpack, stored)
if not readable or type(bucket) ~= 'table' or bucket.format ~= FORMAT then
  -- Something else under this key is replaced. What it was in place of is lost.
  bucket = {
    format = FORMAT, clock = now, requests = 1, apart = 0, slots = {}, seen = {}, replaced = stored and true,
    lost = 0, last = 0, paused = 0, interval = 0, clean = 0, step = 0, clean_time = 0, even = 0,
  }
end

-- A clock that was set back takes the history with it, or all would wait for as long.
local back = math.max(bucket.clock - now, 0)
bucket.clock = now
for _, field in ipairs({ 'lost', 'last', 'paused', 'clean', 'busy' }) do
  bucket[field] = (bucket[field] or 0) - back
end
local slots = {}
for _, slot in ipairs(bucket.slots) do
  slot.at, slot.free_at = slot.at - back, slot.free_at - back
  if slot.at > now then
    -- A process that waits is there, however long it waits.
    bucket.seen[math.floor(slot.ticket / PER_PROCESS)] = now
  end
  if slot.free_at > now then
    slots[#slots + 1] = slot
  else
    bucket.last = math.max(bucket.last, slot.at)
  end
end
bucket.slots = slots
for process, seen_at in pairs(bucket.seen) do
  if math.abs(now - seen_at) > LATELY then
    bucket.seen[process] = nil
  end
end

-- The pace becomes faster for each stretch of clean time, until bursts are allowed again.
while bucket.interval > 0 and now - bucket.clean >= bucket.clean_time do
  bucket.clean = bucket.clean + bucket.clean_time
  bucket.interval = bucket.interval / bucket.step
  if bucket.interval <= bucket.even * (1 + 1e-9) then
    bucket.interval = 0
  end
end

local function find(ticket)
  for index, slot in ipairs(slots) do
    if slot.ticket == ticket and ticket ~= UNKNOWN then
      return slot, index
    end
  end
end

local function add(ticket, at, free_at)
  local slot = { ticket = ticket, at = at, free_at = free_at }
  slots[#slots + 1] = slot
  return slot
end

local function drop(ticket)
  local _, index = find(ticket)
  if index then
    table.remove(slots, index)
  end
end

-- Computes anew when each waiting call leaves, in order of arrival, and notifies the processes of those that moved.
local function schedule(caller)
  local free, last = {}, bucket.last
  local function use(slot)
    local index = #free
    while index > 0 and free[index] > slot.free_at do
      index = index - 1
    end
    table.insert(free, index + 1, slot.free_at)
    last = math.max(last, slot.at)
  end
  for _, slot in ipairs(slots) do
    if slot.at <= now then
      use(slot)
    end
  end
  for _, slot in ipairs(slots) do
    if slot.at > now then
      local at = math.max(now, free[#free - bucket.requests + 1] or now, bucket.paused)
      if bucket.interval > 0 then
        at = math.max(at, last + bucket.interval)
      end
      if at > now then
        -- A process that has just left asks again after the others: all take turns.
        at = math.ceil(math.max(at, last + bucket.apart))
      end
      if at ~= slot.at and slot.ticket ~= caller then
        local channel = KEYS[1]:match('^(.*):') .. ':' .. string.format('%.0f', math.floor(slot.ticket / PER_PROCESS))
        redis.pcall('PUBLISH', channel, string.format('%s %.0f %.0f %.0f', KEYS[1], slot.ticket, now, at - now))
      end
      slot.at, slot.free_at = at, slot.free_at - slot.at + at
      -- A slot that is used now is not in the first loop.
      use(slot)
    end
  end
end

local reply = {}
local command = ARGV[1]
if command == 'reserve' then
  -- A ticket, which may have been drawn before; requests; how long a slot is in use; how far apart calls are that
  -- wait; a ticket to drop (or 0); one that this process used a moment ago (or 0; or below that, how many calls it
  -- may have sent without a ticket); whether it waits for a slot (1; 2 if further calls of the process wait behind it),
  -- or is in the background (0): then it only takes a slot that is free now, and that no such call will ask for.
  local ticket, hold, used = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[7])
  bucket.requests, bucket.apart = tonumber(ARGV[3]), tonumber(ARGV[5])
  drop(tonumber(ARGV[6]))
  for _ = 1, -used do
    add(UNKNOWN, now, now + hold)
  end
  if used > 0 and not find(used) then
    add(used, now, now + hold)
  elseif used >= 0 and not bucket.replaced then
    used = 0
  end
  if (used ~= 0 or bucket.replaced) and now >= bucket.lost + hold then
    -- The history is gone. Whatever it was, it does not matter any more when one window has passed.
    bucket.lost, bucket.paused = now, math.max(bucket.paused, now + hold)
  end
  bucket.replaced = nil
  local process = math.floor(ticket / PER_PROCESS)
  bucket.seen[process] = now
  local slot = find(ticket) or add(ticket, FAR, FAR + hold)
  schedule(ticket)
  if ARGV[8] == '2' then
    bucket.busy = math.max(bucket.busy, slot.at + NEXT_CALL)
  end
  local at = ARGV[8] == '0' and math.max(slot.at, bucket.busy) or slot.at
  if at > now and ARGV[8] == '0' then
    drop(ticket)
  end
  local processes, rank = 0, 0
  for other in pairs(bucket.seen) do
    processes, rank = processes + 1, rank + (other < process and 1 or 0)
  end
  reply = { ticket, math.max(at - now, 0), #slots, processes, rank, now }
elseif command == 'settle' then
  -- A ticket; in how long its slot is free, 0 for at once; whether it counts even if it is not known (1) or not (0).
  local ticket, ahead = tonumber(ARGV[2]), tonumber(ARGV[3])
  local slot = find(ticket)
  if ahead == 0 then
    drop(ticket)
  elseif slot then
    slot.at, slot.free_at = math.min(slot.at, now), now + ahead
  elseif ARGV[4] == '1' then
    add(ticket, now, now + ahead)
  end
  schedule()
elseif command == 'refused' then
  -- The pause, and the period within which refusals are one; then the pace if there is one: its first and its longest
  -- interval, the factor of a step, the clean time, and the interval at which bursts are allowed again.
  bucket.paused = math.max(bucket.paused, now + tonumber(ARGV[2]))
  if ARGV[4] then
    if bucket.interval == 0 then
      bucket.interval, bucket.clean = tonumber(ARGV[4]), now
    elseif now - bucket.clean >= tonumber(ARGV[3]) then
      bucket.interval = math.min(bucket.interval * tonumber(ARGV[6]), tonumber(ARGV[5]))
      bucket.clean = now
    end
    bucket.step, bucket.clean_time, bucket.even = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
  end
  schedule()
end

-- Nothing is kept for longer than it matters.
local matters_until = bucket.paused
if bucket.interval > 0 then
  local steps = math.ceil(math.log(bucket.interval / bucket.even) / math.log(bucket.step))
  matters_until = math.max(matters_until, bucket.clean + bucket.clean_time * (steps + 1))
end
for _, slot in ipairs(slots) do
  matters_until = math.max(matters_until, slot.free_at)
end
for _, seen_at in pairs(bucket.seen) do
  matters_until = math.max(matters_until, seen_at + LATELY)
end
if matters_until > now then
  redis.call('SET', KEYS[1], cmsgpack.pack(bucket), 'PX', string.format('%.0f', math.ceil((matters_until - now) / 1000)))
else
  redis.call('DEL', KEYS[1])
end
return reply
