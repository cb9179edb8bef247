-- What wrk sends: -- get | post | repeat | new RUN
--   get     a GET with a caller's token      post  the same 500 B again and again, without a message id
--   repeat  one webhook again and again      new   a webhook with a fresh message id each time (RUN keeps runs apart)
-- At the end it prints one line of JSON: requests, errors, and latencies in ms.

local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer bench-caller" }
local count, run, mode = 0, "", "get"

local head = '{"object":"whatsapp_business_account","entry":[{"id":"100000000000002","changes":[{"value":{"messaging_product":"whatsapp",'
  .. '"metadata":{"display_phone_number":"15550002222","phone_number_id":"100000000000001"},'
  .. '"contacts":[{"profile":{"name":"Caller"},"wa_id":"15550001111"}],'
  .. '"messages":[{"from":"15550001111","id":"wamid.'
local tail = '","timestamp":"1750000000","type":"text","text":{"body":"Is there a driver near the market this morning?"}}]},'
  .. '"field":"messages"}]}]}'

local function webhook(id)
  return wrk.format("POST", nil, headers, head .. id .. tail)
end

local same

function init(args)
  mode, run = args[1] or "get", args[2] or "0"
  if mode == "get" then same = wrk.format("GET", nil, headers) end
  if mode == "post" then same = wrk.format("POST", nil, headers, '{"note":"' .. string.rep("x", 489) .. '"}') end
  if mode == "repeat" then same = webhook("REPEATED" .. run) end
end

function request()
  if mode ~= "new" then return same end
  count = count + 1
  return webhook(string.format("%s.%09d", run, count))
end

function done(summary, latency)
  local failed = summary.errors
  print(string.format(
    '{"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"avgMs":%.4f,"p50Ms":%.4f,"p90Ms":%.4f,"p99Ms":%.4f}',
    summary.requests, summary.duration / 1e6, failed.status, failed.connect + failed.read + failed.write + failed.timeout,
    latency.mean / 1e3, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3))
end
