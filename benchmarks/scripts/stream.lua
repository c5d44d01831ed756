-- A hundred events a request, through the stream, under a session's token.

local load = dofile(os.getenv("BENCH_SCRIPTS") .. "/load.lua")
local headers = load.headers("application/json")
local event_name = os.getenv("BENCH_EVENT_NAME")
local events = {}

function request()
    for number = 1, 100 do
        events[number] = string.format(
            '{"event_name":"%s","identifier":"%s","payload":{"stripe_customer_id":"%s","value":"%d"}}',
            event_name, load.identifier(), load.customer(), math.random(1000))
    end
    headers["Idempotency-Key"] = load.identifier()
    return wrk.format("POST", "/v2/billing/meter_event_stream", headers,
        '{"events":[' .. table.concat(events, ",") .. "]}")
end
