-- Reservations of credit, each committed in half by the next free connection: what programs with a hard cap send.

local load = dofile(os.getenv("BENCH_SCRIPTS") .. "/load.lua")
local headers = load.headers("application/x-www-form-urlencoded")
local one_customer = os.getenv("BENCH_CUSTOMER")
local amount = "amount[type]=custom_pricing_unit&amount[custom_pricing_unit][custom_pricing_unit]=" ..
    os.getenv("BENCH_CURRENCY") .. "&amount[custom_pricing_unit][value]="
local reserved = {}

function request()
    headers["Idempotency-Key"] = load.identifier()
    local reservation = table.remove(reserved)
    if reservation then
        return wrk.format("POST", "/v1/billing/credit_reservations/" .. reservation .. "/commit", headers, amount .. "1")
    end
    return wrk.format("POST", "/v1/billing/credit_reservations", headers,
        "customer=" .. (one_customer or load.customer()) .. "&" .. amount .. "2")
end

function response(status, _, body)
    if status == 200 and string.find(body, '"status":"active"', 1, true) then
        table.insert(reserved, string.match(body, '"id":"(credres_%w+)"'))
    end
end
