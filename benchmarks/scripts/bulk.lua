-- Many events a request, a line each, as a backfill of yesterday.

local load = dofile(os.getenv("BENCH_SCRIPTS") .. "/load.lua")
local headers = load.headers("application/x-ndjson")
local event_name = os.getenv("BENCH_EVENT_NAME")
local count = tonumber(os.getenv("BENCH_LINES"))
local lines = {}

function request()
    for number = 1, count do
        lines[number] = string.format(
            '{"event_name":"%s","identifier":"%s","timestamp":%d,"payload":{"stripe_customer_id":"%s","value":"%d"}}',
            event_name, load.identifier(), os.time() - math.random(86400), load.customer(), math.random(1000))
    end
    headers["Idempotency-Key"] = load.identifier()
    return wrk.format("POST", "/v1/billing/meter_events/bulk", headers, table.concat(lines, "\n") .. "\n")
end
