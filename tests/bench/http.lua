-- http.lua - what wrk asks in one round of http.sh, and one line of what came of it.
-- arguments: get | post | distinct, and for distinct a number that no round before had

local thread, counter = 0, 0
function setup(t)
  t:set("id", thread)
  thread = thread + 1
end

local round, n = 0, 0

-- Every request of every thread and round another: 512 lengths, then the next batch.
local function distinct()
  local i = n * 2 + id
  n = n + 1
  local path = "/v1/plans?model=gpt2&strategy=every_layer&dtype=bfloat16&seq_len=%d&batch=%d"
  return wrk.format("GET", path:format(513 + i % 512, 1 + round * 1000 + math.floor(i / 512)))
end

-- Jobs, each another: of seven files, or of none.
local seed
local job = '{"kind": "attention", "inputs": {"q": %s, "k": %s, "v": %s}}'
local function jobs()
  seed = seed + 1
  local t = ('{"shape": [16, 8], "random": {"seed": %d}}'):format(seed)
  return wrk.format("POST", nil, nil, job:format(t, t, t))
end

local plan = '{"kind": "plan", "workload": {"model": "gpt2", "seq_len": %d, "batch": %d}, "strategy": "every_layer"}'
local function plans()
  seed = seed + 1
  return wrk.format("POST", nil, nil, plan:format(64 + seed % 512, 1 + math.floor(seed / 512) % 1000))
end

function init(args)
  if args[1] == "post" then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = '{"workload":{"model":"gpt2","seq_len":1024,"batch":8,"dtype":"bfloat16"},"strategy":"every_layer"}'
  elseif args[1] == "jobs" or args[1] == "plans" then
    seed, request = tonumber(args[2]) + id * 10000000, args[1] == "jobs" and jobs or plans
    wrk.headers["Content-Type"] = "application/json"
  elseif args[1] == "distinct" then
    round, request = tonumber(args[2]), distinct -- without this function wrk sends the same bytes again and again
  end
end

function done(summary, latency)
  io.write(("round %.0f %.3f %.3f %d\n"):format(summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
