-- The load of nginx.py, run by wrk on one thread: a fixed number of requests, the paths in turn, every answer checked.
-- A file's first line tells its size, as "SIZE\n"; a compressed answer is only checked to be there (nginx.py reads each
-- file itself as well). wrk measures for a given time: when the last answer is here, SIGINT, on which wrk stops and
-- prints its result, ends that time.
-- arguments: number of requests, then the paths
local ffi = require("ffi")
ffi.cdef("int kill(int pid, int number); int getpid(void);")
local SIGINT = 2

local asked, answered, wrong, to_do = 0, 0, 0, 0
local requests = {}
wrong_text = ""

function init(words)
    to_do = tonumber(words[1])
    for at = 2, #words do
        requests[at - 1] = wrk.format("GET", words[at], {["Accept-Encoding"] = "gzip"})
    end
end

function request()
    asked = asked + 1
    return requests[asked % #requests + 1]
end

function response(status, headers, body)
    answered = answered + 1
    local size = tonumber(string.match(string.sub(body, 1, 12), "^(%d+)\n"))
    local is_right = status == 200 and (headers["Content-Encoding"] == "gzip" and #body > 20 or size == #body)
    if not is_right then
        wrong = wrong + 1
        wrong_text = string.format("status %d, %d bytes", status, #body)
    end
    wrong_count = wrong
    if answered == to_do then
        wrk.thread:stop()
        ffi.C.kill(ffi.C.getpid(), SIGINT)
    end
end

local the_thread
function setup(thread)
    the_thread = thread
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format('{"operations": %d, "seconds": %.6f, "wrong": %d, "wrong_text": "%s", "errors": %d, ' ..
        '"latency_ns": {"request": {"p50": %d, "p99": %d, "p99.9": %d, "p99.99": %d, "max": %d, "count": %d}}}\n',
        summary.requests, summary.duration / 1e6, the_thread:get("wrong_count") or 0, the_thread:get("wrong_text"),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50) * 1000, latency:percentile(99) * 1000, latency:percentile(99.9) * 1000,
        latency:percentile(99.99) * 1000, latency.max * 1000, summary.requests))
end
