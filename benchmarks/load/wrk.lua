-- Sends a prepared request under ever new numbers, so that requests in flight differ, and reports as one line of JSON.
-- The requests are made once and taken in turn: nothing is built while the clock runs.

local NUMBERS = 4096
local requests, turn = {}, 0

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    local template = file:read("*a")
    file:close()
    for number = 1, NUMBERS do
        requests[number] = template:gsub("@@@@@@", string.format("%06d", 100000 + number))
    end
end

function request()
    turn = turn % NUMBERS + 1
    return requests[turn]
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format(
        '{"requests": %d, "bytes": %d, "elapsed": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "errors": '
        .. '{"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}',
        summary.requests, summary.bytes, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
