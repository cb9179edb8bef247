// The public suite for HTTP caches (npm `http-cache-tests`): `serve` is its origin, `run BASE_URL` runs all of it through a proxy and
// prints `required|optimal pass|fail ID` for each test. A test counts as passed only if those it depends on are, as the suite's site does.
import http from 'node:http'
import path from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'

const modules = path.resolve(process.env.CACHE_SUITE, 'node_modules')
const load = (name) => import(pathToFileURL(path.join(modules, name)))
const [, , mode, base] = process.argv

if (mode === 'serve') {
  const handlers = {}
  for (const name of ['config', 'state', 'test']) {
    handlers[name] = (await load(`http-cache-tests/server/handle-${name}.mjs`)).default
  }
  const server = http.createServer((request, response) => {
    const [name, ...rest] = new URL(request.url, 'http://localhost').pathname.split('/').slice(1)
    const handler = handlers[name]
    if (handler) handler(rest, request, response)
    else response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1', () => console.log(server.address().port))
  // nobody is left to ask it
  process.stdin.on('end', () => process.exit()).resume()
} else {
  const fetch = (await load('node-fetch/lib/index.mjs')).default
  const { runTests, getResults } = await load('http-cache-tests/client/runner.mjs')
  const suites = (await load('http-cache-tests/tests/index.mjs')).default
  await runTests(suites, fetch, false, base)
  const results = getResults()
  const tests = new Map(suites.flatMap((suite) => suite.tests).map((test) => [test.id, test]))
  const passed = (id) => results[id] === true && (tests.get(id).depends_on ?? []).every(passed)
  for (const [id, test] of tests) {
    const kind = test.kind ?? 'required'
    if (test.browser_only || kind === 'check') continue
    console.log(`${kind} ${passed(id) ? 'pass' : 'fail'} ${id} ${JSON.stringify(results[id])}`)
  }
}
