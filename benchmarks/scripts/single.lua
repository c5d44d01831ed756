-- One event a request, as the SDKs send it: a form, an identifier and an Idempotency-Key.

local load = dofile(os.getenv("BENCH_SCRIPTS") .. "/load.lua")
local headers = load.headers("application/x-www-form-urlencoded")
local event_name = os.getenv("BENCH_EVENT_NAME")

function request()
    headers["Idempotency-Key"] = load.identifier()
    return wrk.format("POST", "/v1/billing/meter_events", headers, string.format(
        "event_name=%s&payload[stripe_customer_id]=%s&payload[value]=%d&identifier=%s",
        event_name, load.customer(), math.random(1000), load.identifier()))
end
