-- Every answer is looked at, by each thread of wrk; at the end one line says what there was.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local pipelined, echoed = tonumber(args[1]), tonumber(args[2])
  wrong, answers, expected_body = 0, 0, args[3] or ""
  if echoed > 0 then
    wrk.method, wrk.body = "POST", string.rep("0123456789abcdef", echoed / 16)
    expected_body = wrk.body
  end
  local requests = string.rep(wrk.format(), pipelined)
  request = function() return requests end
end

function response(status, headers, body)
  answers = answers + 1
  if status ~= 200 or body ~= expected_body then wrong = wrong + 1 end
end

function done(summary, latency, requests)
  local wrong, answers = 0, 0
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
    answers = answers + thread:get("answers")
  end
  local e = summary.errors
  print(string.format("REPORT answers=%d wrong=%d connect=%d read=%d write=%d status=%d timeout=%d",
    answers, wrong, e.connect, e.read, e.write, e.status, e.timeout))
end
