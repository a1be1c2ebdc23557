// A proxy between an SDK and a server: it writes down what passes, and can make polling useless.

import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { apiUrl } from './ground.mjs'

// A process that does not end when it is asked to: a stop takes its whole grace time, longer than the request waits.
export const STUBBORN = `
sh -c 'trap "" TERM; touch /tmp/ready; while :; do sleep 1; done' >/dev/null 2>&1 &
until [ -e /tmp/ready ]; do sleep 0.05; done
`

// A proxy that passes everything on; while frozen, a sandbox's GET answers as the first one since then did.
export async function between() {
  const upstream = new URL(apiUrl)
  const passing = { frozen: null, polled: [], sockets: 0, heard: '' }
  const server = http.createServer((request, response) => {
    const isPoll = request.method === 'GET' && /^\/api\/sandbox\/[0-9a-f-]{36}$/.test(request.url)
    const known = isPoll && passing.frozen?.get(request.url)
    const answer = (status, body) => {
      if (isPoll && passing.frozen) {
        passing.frozen.set(request.url, { status, body })
        passing.polled.push(JSON.parse(body).state)
      }
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length })
      response.end(body)
    }
    if (known) return answer(known.status, known.body)
    const options = { host: upstream.hostname, port: upstream.port, method: request.method, path: request.url }
    const onward = http.request({ ...options, headers: { ...request.headers, connection: 'close' } }, (incoming) => {
      const parts = []
      incoming.on('data', (part) => parts.push(part))
      incoming.on('end', () => answer(incoming.statusCode, Buffer.concat(parts)))
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.on('upgrade', (request, client, head) => {
    passing.sockets++
    const onward = net.connect(upstream.port, upstream.hostname, () => {
      const headers = request.rawHeaders.map((text, index) => text + (index % 2 ? '\r\n' : ': ')).join('')
      onward.write(`GET ${request.url} HTTP/1.1\r\n${headers}\r\n`)
      onward.write(head)
      onward.pipe(client)
      client.pipe(onward)
    })
    onward.on('data', (data) => (passing.heard += data.toString('latin1')))
    for (const socket of [client, onward]) {
      socket.on('error', () => {})
      socket.on('close', () => [client, onward].forEach((one) => one.destroy()))
    }
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  passing.url = `http://127.0.0.1:${server.address().port}/api`
  passing.close = () => {
    server.closeAllConnections?.()
    server.close()
  }
  return passing
}

export async function soon(holds) {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 600, 'it does not come to hold in a minute')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
