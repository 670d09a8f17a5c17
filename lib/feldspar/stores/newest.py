"""The server-side functions of the online store, in Lua: what is newer wins, in any order.

They know the byte positions of ``stores.rows`` and nothing else of a value. A value of an older
epoch is replaced, one of a newer epoch is left alone. Strings are compared byte by byte, because
Lua compares by the server's locale.
"""

from __future__ import annotations

WRITE = """
local EPOCH_END, VERSION_END, FIRST_FRAME = 16, 24, 17
local floor, kind = ARGV[1], ARGV[2]

local function less(a, b)
  if a == b then return false end
  for i = 1, #a do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return false
end

local function frames(value, found)
  local at = FIRST_FRAME
  while at <= #value do
    local size = struct.unpack('>I4', string.sub(value, at, at + 3))
    local rank = string.sub(value, at + 4, at + 35)
    local visible = string.sub(value, at + 36, at + 43)
    found[#found + 1] =
      {order = visible .. rank, rank = rank, visible = visible,
       bytes = string.sub(value, at, at + 43 + size)}
    at = at + 44 + size
  end
end

-- rows that are the newest at some T from floor on, oldest visible_at first
local function merged(old, new)
  local all, kept = {}, {}
  frames(old, all)
  frames(new, all)
  table.sort(all, function(a, b) return less(a.order, b.order) end)
  local best = nil
  for _, frame in ipairs(all) do
    if best == nil or less(best, frame.rank) then
      best = frame.rank
      if not less(floor, frame.visible) then kept = {} end
      kept[#kept + 1] = frame.bytes
    end
  end
  return string.sub(new, 1, EPOCH_END) .. table.concat(kept)
end

-- what is to lie at the key, and whether it replaces a value of another definition
local function winner(old, new)
  if not old then return new, true end
  if old == new then return old, false end
  local was, is = string.sub(old, 9, EPOCH_END), string.sub(new, 9, EPOCH_END)
  if less(is, was) then return old, false end
  if less(was, is) or string.sub(old, 1, 8) ~= string.sub(new, 1, 8) then return new, true end
  if kind == 'row' then return merged(old, new), false end
  if less(string.sub(old, 17, VERSION_END), string.sub(new, 17, VERSION_END)) then
    return new, false
  end
  return old, false
end

local written = 0
for i, key in ipairs(KEYS) do
  local new, expires = ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  local old = redis.call('GET', key)
  local value, replaced = winner(old, new)
  if value ~= old then
    written = written + 1
    if expires == '' then
      redis.call('SET', key, value)
    elseif replaced then
      redis.call('SET', key, value, 'PXAT', expires)
    else
      redis.call('SET', key, value, 'KEEPTTL')
      redis.call('PEXPIREAT', key, expires, 'GT')
    end
  end
end
return written
"""
"""KEYS: keys. ARGV: floor (8 bytes), ``row`` or ``events``, then value and expiry (milliseconds
since the epoch, or empty) of each key. Returns how many keys changed."""

CONCLUDE = """
local view, before, after, clock = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now = redis.call('HGET', KEYS[1], view) or ''
if before ~= '*' and now ~= before and now ~= after then return 0 end
redis.call('HSET', KEYS[1], view, after)
local old = redis.call('HGET', KEYS[1], 'clock')
if not old or tonumber(old) < tonumber(clock) then redis.call('HSET', KEYS[1], 'clock', clock) end
return 1
"""
"""KEYS[1]: cursors by view, and ``clock``, which only ever moves forward. ARGV: the view; its
cursor becomes ARGV[3] where it is ARGV[2] (empty: where there is none; ``*``: whatever it is); then
the clock in microseconds. Returns 1, or 0 where the cursor is something else; a repeat whose first
answer was lost returns 1 too."""

ADVANCE = """
local old = redis.call('HGET', KEYS[1], 'clock')
if not old or tonumber(old) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'clock', ARGV[1])
end
return 1
"""
"""KEYS[1]: as of ``CONCLUDE``; its clock moves forward to ARGV[1], never back."""
