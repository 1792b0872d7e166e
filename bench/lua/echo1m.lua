-- POST /echo with 1 MiB, one request in flight a connection.
wrk.method = "POST"
wrk.path = "/echo"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("0123456789abcdef", 64 * 1024)
dofile(os.getenv("BENCH_LUA") .. "/report.lua")
