-- GET /json, one request in flight a connection.
wrk.path = "/json"
dofile(os.getenv("BENCH_LUA") .. "/report.lua")
