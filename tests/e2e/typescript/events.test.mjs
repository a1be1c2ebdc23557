// What becomes of sandboxes, told over a socket: the SDK's wait ends by it, and not because it asked again.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { between, soon, STUBBORN } from './between.mjs'
import { apiKey, patience, remove, runId, sdk } from './ground.mjs'

test('a wait ends by event', patience, async () => {
  const passing = await between()
  const client = new sdk.Daytona({ apiKey, apiUrl: passing.url })
  let id
  try {
    const sandbox = await client.create({ labels: { 'e2e-run': runId } }, { timeout: 60 })
    id = sandbox.id
    await sandbox.process.executeCommand(STUBBORN)
    await soon(() => passing.heard.includes('40{"sid"'))
    passing.frozen = new Map()
    await sandbox.stop(60)
    // Whoever asked was told that it still stops; only the event said that it has.
    assert.ok(passing.polled.length > 0)
    assert.deepEqual([...new Set(passing.polled)], ['stopping'])
    assert.match(passing.heard, /"newState":"stopped","oldState":"stopping"/)
    assert.equal(passing.sockets, 1)
  } finally {
    if (id) await remove(id)
    await client[Symbol.asyncDispose]()
    passing.close()
  }
})

test('a client whose key is wrong hears nothing and is told so by requests', patience, async () => {
  const passing = await between()
  const client = new sdk.Daytona({ apiKey: 'dtn_wrong', apiUrl: passing.url })
  try {
    await assert.rejects(client.get('anything'))
    await soon(() => passing.heard.includes('44{"message":"Unauthorized"}'))
    assert.ok(!passing.heard.includes('40{"sid"'))
  } finally {
    await client[Symbol.asyncDispose]()
    passing.close()
  }
})
