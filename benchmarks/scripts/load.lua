-- What all load scripts share: random identifiers, customers, pacing, and the result as one line of JSON.

local ffi = require("ffi")
ffi.cdef [[
    typedef struct { long seconds; long nanoseconds; } instant;
    int clock_gettime(int clock, instant *at);
]]

local load = { key = os.getenv("BENCH_KEY"), customers = {} }
local MONOTONIC = 1
local at = ffi.new("instant")

for line in io.lines(os.getenv("BENCH_CUSTOMERS")) do
    table.insert(load.customers, line)
end
math.randomseed(tonumber(os.getenv("BENCH_SEED")))

function load.customer()
    return load.customers[math.random(#load.customers)]
end

-- As random as the version 4 UUIDs that clients send, so that index pages are hit as in real life.
function load.identifier()
    return string.format("%08x-%04x-4%03x-8%03x-%06x%06x", math.random(0, 0xffffffff), math.random(0, 0xffff),
        math.random(0, 0xfff), math.random(0, 0xfff), math.random(0, 0xffffff), math.random(0, 0xffffff))
end

function load.headers(content_type)
    return {
        ["Authorization"] = "Bearer " .. (os.getenv("BENCH_TOKEN") or load.key),
        ["Content-Type"] = content_type,
        ["Stripe-Version"] = "2026-10-28.endive",
        ["User-Agent"] = "Stripe/v1 PythonBindings/16.1.0",
    }
end

-- wrk asks for a delay in milliseconds before each request of a connection. All connections draw from one timetable, so
-- the total keeps to the rate however long single answers take.
local interval = 1000 / tonumber(os.getenv("BENCH_RATE"))
local slot = nil

local function now()
    ffi.C.clock_gettime(MONOTONIC, at)
    return tonumber(at.seconds) * 1000 + tonumber(at.nanoseconds) / 1e6
end

if tonumber(os.getenv("BENCH_RATE")) > 0 then
    function delay()
        local current = now()
        -- After a long pause of the server, what was missed within a second is made up for, and no more.
        slot = math.max((slot or current) + interval, current - 1000)
        return math.max(0, math.floor(slot - current))
    end
end

function done(summary, latency)
    io.write(string.format(
        '\n{"requests": %d, "status_errors": %d, "socket_errors": %d, "microseconds": %d, ' ..
        '"p50": %d, "p99": %d, "max": %d}\n',
        summary.requests, summary.errors.status,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
        summary.duration, latency:percentile(50), latency:percentile(99), latency.max))
end

return load
