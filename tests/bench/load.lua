-- load.lua - wrk's side of load.sh: the address as it is (get), or jobs, each another (post FIRST: seeds from there)

local thread = 0
function setup(t)
  t:set("id", thread)
  thread = thread + 1
end

local seed
local job = '{"kind": "attention", "inputs": {"q": %s, "k": %s, "v": %s}}'
local function post()
  seed = seed + 1
  local t = ('{"shape": [16, 8], "random": {"seed": %d}}'):format(seed)
  return wrk.format("POST", nil, nil, job:format(t, t, t))
end

function init(args)
  if args[1] == "post" then
    seed = tonumber(args[2]) + id * 10000000
    wrk.headers["Content-Type"] = "application/json"
    request = post
  end
end

-- requests a second, p50 and p99 in ms, failures
function done(summary, latency)
  io.write(("round %.0f %.3f %.3f %d\n"):format(summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
