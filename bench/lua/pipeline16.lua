-- GET /plaintext, sixteen requests in one write; wrk counts each of them.
wrk.path = "/plaintext"
local batch

function init(args)
  batch = string.rep(wrk.format(), 16)
end

function request()
  return batch
end

dofile(os.getenv("BENCH_LUA") .. "/report.lua")
