-- A read of one customer's usage, another customer each time.

local load = dofile(os.getenv("BENCH_SCRIPTS") .. "/load.lua")
local headers = load.headers("application/x-www-form-urlencoded")
local path = os.getenv("BENCH_PATH") .. "&customer="

function request()
    return wrk.format("GET", path .. load.customer(), headers)
end
