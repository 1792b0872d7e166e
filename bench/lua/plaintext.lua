-- GET /plaintext, one request in flight a connection.
wrk.path = "/plaintext"
dofile(os.getenv("BENCH_LUA") .. "/report.lua")
