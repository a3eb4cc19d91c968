-- One limit on requests per period, kept in Redis: who may start when, decided in one atomic step.
--
-- It knows the starts of the last period and who waits in which order. Its clock is the server's.
-- Times are microseconds. Whoever waits has a rank, counted over both lanes, queries first, but for
-- every so many of them a document; the earliest start of a rank is a formula over what has
-- happened, so nothing is moved when someone starts, leaves or pushes in:
--
--   slot(rank) = max(ready + rank * interval,             the pace
--                    start `limit` ranks earlier + span)  the log
--
-- A start is written into the log only by the call that makes it, if the start `limit` places
-- earlier is a whole span back: late, lost and disordered callers cannot break the limit.
--
-- ARGV: "ask", ticket, lane, limit, burst, period, longest wait (-1: any), queries per document
--       "leave", ticket | "hold", microseconds, period
--       "tell", period, microseconds in which nobody starts, ticket, microseconds since its start,
--       ticket, ...: starts that this log may not know, since they were made without it, or before
--       it was lost
--       "facts", server, JSON of what was found out about it, period; '{}' asks what others told
-- Answers: {kind, microseconds to wait, limit that holds, now, when the log was begun}; kind 0:
--       started, 1: waits in the line, 2: not in the line, since it would have to wait too long;
--       for "facts" also JSON of those that hold.

local state_key, starts, queries, documents, told = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local facts_key = KEYS[6]

local MARGIN = 0.005    -- of a period, by which starts are kept further apart: journeys vary
local GRAIN = 2e-6      -- of a period, by which a start may be early: nobody asks twice for that
local GRACE = 0.1       -- of a period, after which one who does not come for his start is dead
local HOUR = 3600e6     -- after which a fact lapses: a server may be another by then
local MOST_SWEPT = 100  -- that is cleared away by one call

local time = redis.call('TIME')
local state = {}
local fields = redis.call('HGETALL', state_key)
for i = 1, #fields, 2 do state[fields[i]] = tonumber(fields[i + 1]) end

-- A clock that steps back counts as time standing still.
local now = time[1] * 1000000 + time[2] + (state.stepped_back or 0)
if state.latest and now < state.latest then
  state.stepped_back = (state.stepped_back or 0) + state.latest - now
  now = state.latest
end
state.latest = now
state.begun = state.begun or now

local function answer(kind, wait, limit) return {kind, wait, limit, now, state.begun} end

local function exact(number) return string.format('%.17g', number) end

local function save(period)
  local flat = {}
  for name, value in pairs(state) do
    flat[#flat + 1] = name
    flat[#flat + 1] = exact(value)
  end
  redis.call('HSET', state_key, unpack(flat))
  -- Everything is forgotten once it says nothing any more.
  local ends = math.max(now, state.ready or now)
  local last = redis.call('ZRANGE', told, -1, -1, 'WITHSCORES')
  if last[2] then ends = math.max(ends, tonumber(last[2])) end
  local rest = math.ceil((ends - now + 3 * period) / 1000)
  for part = 1, 5 do redis.call('PEXPIRE', KEYS[part], rest) end
end

local function leave(ticket)
  redis.call('ZREM', queries, ticket)
  redis.call('ZREM', documents, ticket)
  redis.call('ZREM', told, ticket)
end

if ARGV[1] == 'leave' then
  leave(ARGV[2])
  return answer(0, 0, 0)
end

if ARGV[1] == 'tell' then
  for i = 4, #ARGV, 2 do
    redis.call('ZADD', starts, 'NX', exact(now - tonumber(ARGV[i + 1])), ARGV[i])
  end
  local hold = tonumber(ARGV[3])
  if hold > 0 then state.held = now + hold end
  save(tonumber(ARGV[2]))
  return answer(0, 0, 0)
end

if ARGV[1] == 'hold' then
  local seconds, period = tonumber(ARGV[2]), tonumber(ARGV[3])
  state.ready = math.max(state.ready or 0, now + seconds)
  save(period)
  return answer(0, 0, 0)
end

local function understood(kept)  -- a number and its time by name; an error for anything else
  local facts = cjson.decode(kept)
  for name, fact in pairs(facts) do
    assert(type(name) == 'string' and math.abs(fact[1] + fact[2]) < math.huge)
  end
  return facts
end

if ARGV[1] == 'facts' then
  local found = cjson.decode(ARGV[3])
  local kept = redis.pcall('HGET', facts_key, ARGV[2])
  if type(kept) == 'table' then redis.call('DEL', facts_key) end  -- it is no hash
  local is_understood, known = pcall(understood, kept)
  if not is_understood then known = {} end  -- facts are hints, and soon found again
  -- Of all who ask, one after another, each is told how many have since the width was found.
  local begun = not next(found) and (known.begun or {0})[1] + 1 or nil
  if begun or found.width then found.begun = begun or 0 end
  for name, fact in pairs(found) do known[name] = {fact, now} end
  local holding = {}
  for name, fact in pairs(known) do
    if now - fact[2] < HOUR then holding[name] = fact[1] else known[name] = nil end
  end
  redis.call('HSET', facts_key, ARGV[2], cjson.encode(known))
  redis.call('PEXPIRE', facts_key, HOUR / 1000)
  save(tonumber(ARGV[4]))
  return {0, 0, 0, now, state.begun, cjson.encode(holding)}
end

local ticket, lane = ARGV[2], ARGV[3]
local limit, burst, period = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local longest, per_document = tonumber(ARGV[7]), tonumber(ARGV[8])

-- Of several limits under one key the lowest holds, for as long as someone asks with it.
if state.limit and state.limit < limit and now - state.limit_seen < 2 * period then
  limit = state.limit
else
  state.limit, state.limit_seen = limit, now
end

local interval, span, grain = period / limit, period * (1 + MARGIN), period * GRAIN
local tolerance = (math.min(burst, limit) - 1) * interval

-- What is out of the period, and who is out of time.
redis.call('ZREMRANGEBYSCORE', starts, '-inf', exact(now - span))
if redis.call('ZSCORE', starts, ticket) then return answer(0, 0, limit) end  -- it asks twice
local dead = redis.call('ZRANGEBYSCORE', told, '-inf', exact(now - GRACE * period),
  'LIMIT', 0, MOST_SWEPT)
for _, one in ipairs(dead) do
  if one ~= ticket then leave(one) end
end
if redis.call('ZCARD', queries) + redis.call('ZCARD', documents) > redis.call('ZCARD', told) then
  -- A server that is short of memory has evicted what keeps them alive.
  redis.call('DEL', queries, documents)
end

-- What the pace allowed while nobody wanted it is lost, but for a burst. Those who are late keep
-- theirs: slots follow from slots, not from wake-ups, so lateness costs no rate.
local late = redis.call('ZCOUNT', told, '-inf', exact(now + grain))
state.ready = math.max(state.ready or 0, now - tolerance - late * interval)

local function log_slot(rank)  -- when the log allows the start `rank` places from now
  local start = redis.call('ZRANGE', starts, rank - limit, rank - limit, 'WITHSCORES')
  return start[2] and tonumber(start[2]) + span or 0
end

local function slot(rank)
  local rounds = math.floor(rank / limit)
  rank = rank - rounds * limit
  local begin = math.max(state.ready + rank * interval, log_slot(rank), state.held or 0)
  if rounds > 0 then begin = math.max(begin, now) + rounds * span end
  return begin
end

local line = lane == 'query' and queries or documents
local passed = state.passed or 0  -- queries that started while documents waited, since one did
local others = redis.call('ZCARD', lane == 'query' and documents or queries)

local function rank_of(index)  -- over both lanes, of a place in this one
  if lane == 'query' then
    return index + math.min(others, math.floor((index + passed) / per_document))
  end
  return index + math.min(others, math.max(0, (index + 1) * per_document - passed))
end

local function start()
  state.ready = math.max(state.ready, log_slot(0) - tolerance) + interval
  redis.call('ZADD', starts, exact(now), ticket)
  local is_passing = lane == 'query' and others > 0
  state.passed = is_passing and math.min(passed + 1, per_document) or 0
  leave(ticket)
  save(period)
  return answer(0, 0, limit)
end

local function wait_until(moment)
  redis.call('ZADD', told, exact(moment), ticket)
  save(period)
  return answer(1, math.ceil(moment - now), limit)
end

local rank = redis.call('ZRANK', line, ticket)
if rank then
  local moment = slot(rank_of(rank))
  if moment - now <= grain then return start() end
  return wait_until(moment)
end

-- Someone new. Where a place was given back, those behind it sleep towards later slots than they
-- could have by now: the first slot that nobody sleeps towards goes to who comes now.
local place, order = redis.call('ZCARD', line), nil
if place > 0 then
  local function has_gap(index, holder)
    return tonumber(redis.call('ZSCORE', told, holder)) > slot(rank_of(index)) + interval / 2
  end
  if has_gap(place - 1, redis.call('ZRANGE', line, -1, -1)[1]) then
    local waiting = redis.call('ZRANGE', line, 0, -1)
    for index, holder in ipairs(waiting) do
      if has_gap(index - 1, holder) then
        local behind = tonumber(redis.call('ZSCORE', line, holder))
        local ahead = index > 1 and tonumber(redis.call('ZSCORE', line, waiting[index - 1]))
          or behind - 1
        local between = (ahead + behind) / 2
        if ahead < between and between < behind then place, order = index - 1, between end
        break
      end
    end
  end
end

local moment = slot(rank_of(place))
if longest >= 0 and moment - now > longest + grain then
  save(period)
  return answer(2, math.ceil(moment - now), limit)
end
if moment - now <= grain then return start() end
if not order then
  state.joined = (state.joined or 0) + 1
  order = state.joined
end
redis.call('ZADD', line, exact(order), ticket)
return wait_until(moment)
