// What a sandbox sees of the machine under it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { patience, sharedSandbox } from './ground.mjs'

const box = sharedSandbox()

async function out(command) {
  const answer = await (await box()).process.executeCommand(command)
  assert.equal(answer.exitCode, 0, answer.result)
  return answer.result.trim()
}

test('who one is, and sudo', patience, async () => {
  assert.equal(await out('whoami; id -u; sudo -n id -u'), 'daytona\n1000\n0')
})

test('only one’s own processes', patience, async () => {
  const lines = (await out('ps -e --no-headers -o pid,comm')).split('\n')
  assert.equal(lines[0].trim().split(/\s+/)[0], '1')
  assert.ok(lines.length < 10, lines.join('\n'))
})

test('the daemon cannot be killed', patience, async () => {
  await (await box()).process.executeCommand('kill -9 1; sudo -n kill -9 1')
  assert.equal(await out('echo alive'), 'alive')
})
