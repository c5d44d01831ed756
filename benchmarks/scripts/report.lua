-- One report a request, as LedgerBee's clients send it: JSON and a key under which it counts once.

local load = dofile(os.getenv("BENCH_SCRIPTS") .. "/load.lua")
local headers = { ["x-api-key"] = load.key, ["Content-Type"] = "application/json" }
local event_name = os.getenv("BENCH_EVENT_NAME")

function request()
    headers["x-api-idempotency-key"] = load.identifier()
    return wrk.format("POST", "/api/v1/meters/report", headers, string.format(
        '{"meterName":"%s","customerId":"%s","value":%d,"metadata":{"trace":"%s"}}',
        event_name, load.customer(), math.random(1000), load.identifier()))
end
