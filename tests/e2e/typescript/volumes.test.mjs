// Volumes and their mounts, as the official TypeScript SDK asks for them.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'

import { daytona, patience, withSandbox } from './ground.mjs'

test('a volume outlives its sandboxes', patience, async () => {
  const name = `volume-${randomUUID().slice(0, 8)}`
  const volume = await daytona.volume.get(name, true)
  try {
    assert.equal(volume.state, 'ready')
    const volumes = [{ volumeId: volume.id, mountPath: '/data' }]
    await withSandbox({ volumes }, async (sandbox) => {
      const answer = await sandbox.process.executeCommand('echo kept > /data/file && cat /data/file')
      assert.equal(answer.result.trim(), 'kept')
      await assert.rejects(daytona.volume.delete(volume), /a sandbox has it/)
    })
    const part = [{ volumeId: name, mountPath: '/part', subpath: 'deep/er' }]
    await withSandbox({ volumes: part }, async (sandbox) => {
      const answer = await sandbox.process.executeCommand('ls -A /part | wc -l && touch /part/new')
      assert.equal(answer.result.trim(), '0')
    })
    assert.ok((await daytona.volume.list()).some((known) => known.id === volume.id))
  } finally {
    await daytona.volume.delete(volume)
  }
  await assert.rejects(daytona.volume.get(name), /not found/)
})
