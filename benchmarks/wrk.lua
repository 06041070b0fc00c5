-- Bodies are the drawn digits of examples/; tolerances from TOLS, in the query or, for servers that want it there, in the body.
local bodies, tols = {}, {}
for digit = 0, 9 do
  local file = assert(io.open("examples/digits/" .. digit .. ".json", "r"))
  bodies[#bodies + 1] = file:read("*a")
  file:close()
end
for tol in string.gmatch(os.getenv("TOLS"), "[^,]+") do tols[#tols + 1] = tol end
local in_body = os.getenv("TOL_IN_BODY") ~= ""
local asked = 0

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function request()
  local tol = tols[asked % #tols + 1]
  local body = bodies[math.floor(asked / #tols) % #bodies + 1]
  asked = asked + 1
  if in_body then
    return wrk.format(nil, "/classify", nil, (string.gsub(body, "}%s*$", ', "tol": ' .. tol .. "}")))
  end
  return wrk.format(nil, "/classify?tol=" .. tol, nil, body)
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    'FIGURES {"per_second": %.1f, "p50": %.2f, "p99": %.2f, "errors": %d}\n',
    summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
