// The full life of a sandbox: pause, archive, fork, snapshot, links, timers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { api, collect, daytona, patience, remove, runId, sdk, withSandbox } from './ground.mjs'

const { DaytonaBadRequestError, DaytonaConflictError, DaytonaError, DaytonaNotFoundError } = sdk

const FILL = `set -e
mkdir -p /home/daytona/tree/deep && cd /home/daytona/tree
head -c 300000 /dev/urandom > deep/random
ln deep/random hard; ln -s deep/random soft; truncate -s 3000000 hole; chmod 600 hole
touch -d '2001-02-03 04:05:06.789012345' deep/random`
const HASH = `set -e -o pipefail; cd /home/daytona/tree; {
find . -printf '%P %y %m %U %G %n %T@ %l\\n' | LC_ALL=C sort
find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; } | sha256sum`

async function run(sandbox, script) {
  const answer = await sandbox.process.executeCommand(script)
  assert.equal(answer.exitCode, 0, answer.result)
  return answer.result
}

async function filled(sandbox) {
  await run(sandbox, FILL)
  return run(sandbox, HASH)
}

async function until(condition, what) {
  for (let tries = 0; !(await condition()); tries++) {
    assert.ok(tries < 300, what)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function archive(sandbox) {
  await sandbox.archive()
  await until(async () => {
    await sandbox.refreshData()
    return sandbox.state === 'archived'
  }, 'it is not archived')
}

test('stop, forced stop and start keep the files', patience, () =>
  withSandbox({}, async (sandbox) => {
    const expected = await filled(sandbox)
    for (const force of [false, true]) {
      await sandbox.stop(60, force)
      assert.equal(sandbox.state, 'stopped')
      await sandbox.start()
      assert.equal(await run(sandbox, HASH), expected)
    }
  }))

test('a pause keeps memory and processes', patience, () =>
  withSandbox({}, async (sandbox) => {
    await run(sandbox, 'echo kept > /dev/shm/kept; nohup sleep 4711 > /dev/null 2>&1 & echo $!')
    const pid = (await run(sandbox, 'pgrep -f "^sleep 4711"')).trim()
    await sandbox.pause()
    assert.equal(sandbox.state, 'paused')
    await assert.rejects(sandbox.process.executeCommand('echo on'), DaytonaError)
    await sandbox.start()
    assert.equal(sandbox.state, 'started')
    assert.equal(await run(sandbox, 'cat /dev/shm/kept'), 'kept\n')
    assert.equal((await run(sandbox, 'pgrep -f "^sleep 4711"')).trim(), pid)
    await sandbox.pause()
    await sandbox.stop()
    assert.equal(sandbox.state, 'stopped')
  }))

test('archive and restore', patience, () =>
  withSandbox({}, async (sandbox) => {
    const expected = await filled(sandbox)
    await assert.rejects(sandbox.archive(), DaytonaBadRequestError)
    await sandbox.stop()
    await archive(sandbox)
    await sandbox.start()
    assert.equal(await run(sandbox, HASH), expected)
  }))

test('a fork is a world of its own', patience, () =>
  withSandbox({ labels: { of: 'parent' } }, async (parent) => {
    const expected = await filled(parent)
    const child = await parent.fork({ name: `ts-fork-${runId}` })
    try {
      assert.equal(child.state, 'started')
      assert.equal((await daytona.get(`ts-fork-${runId}`)).id, child.id)
      assert.equal(child.labels.of, 'parent')
      assert.equal(await run(child, HASH), expected)
      await run(child, 'echo child > /home/daytona/tree/child')
      assert.equal(await run(parent, HASH), expected)
      await assert.rejects(parent.delete(), DaytonaBadRequestError)
      const lineage = await (await api('GET', `/sandbox/${child.id}/parent`)).json()
      assert.equal(lineage.id, parent.id)
    } finally {
      await remove(child.id)
    }
  }))

test('a snapshot of a sandbox', patience, () =>
  withSandbox({}, async (source) => {
    const expected = await filled(source)
    const name = `ts-saved-${runId}`
    await source.createSnapshot(name)
    assert.equal(source.state, 'started')
    try {
      await assert.rejects(source.createSnapshot(name), DaytonaConflictError)
      await withSandbox({ snapshot: name }, async (again) => assert.equal(await run(again, HASH), expected))
      assert.ok((await daytona.snapshot.list()).items.some((item) => item.name === name))
    } finally {
      await daytona.snapshot.delete(await daytona.snapshot.get(name))
    }
    await assert.rejects(daytona.snapshot.get(name), DaytonaNotFoundError)
  }))

test('timers, activity, labels and size', patience, () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.setAutostopInterval(0)
    await sandbox.setAutoPauseInterval(7)
    await sandbox.setAutoArchiveInterval(0)
    await sandbox.setAutoDeleteInterval(90)
    await sandbox.setTtl(600)
    let found = await (await api('GET', `/sandbox/${sandbox.id}`)).json()
    assert.deepEqual([found.autoStopInterval, found.autoPauseInterval], [0, 7])
    assert.deepEqual([found.autoArchiveInterval, found.autoDeleteInterval], [43_200, 90])
    assert.ok(Date.parse(found.autoDestroyAt) > Date.now() + 590 * 60_000)
    const before = found.lastActivityAt
    await new Promise((resolve) => setTimeout(resolve, 10))
    await sandbox.refreshActivity()
    await sandbox.setTtl(0)
    await sandbox.resize({ cpu: 2 })
    assert.equal(sandbox.cpu, 2)
    found = await (await api('GET', `/sandbox/${sandbox.id}`)).json()
    assert.ok(Date.parse(found.lastActivityAt) > Date.parse(before))
    assert.equal(found.autoDestroyAt ?? null, null)
    const labels = { 'e2e-run': runId, 'quote"d': 'v,a\\lue' }
    assert.deepEqual(await sandbox.setLabels(labels), labels)
    const listed = await collect(daytona.list({ labels, states: ['started'], minCpu: 2 }))
    assert.deepEqual(listed.map((item) => item.id), [sandbox.id])
    await assert.rejects(sandbox.recover(), DaytonaBadRequestError)
  }))

test('linked sandboxes reach each other by name and go together', patience, () =>
  withSandbox({ name: `ts-owner-${runId}` }, (owner) =>
    withSandbox({ linkedSandbox: owner.id, ephemeral: true }, async (follower) => {
      for (const name of [`ts-owner-${runId}`, owner.id]) {
        await run(follower, `python3 -c 'import socket; socket.gethostbyname("${name}")'`)
      }
      await run(owner, `python3 -c 'import socket; socket.gethostbyname("${follower.id}")'`)
      await owner.delete(60, true)
      await until(async () => (await api('GET', `/sandbox/${follower.id}`)).status === 404, 'the follower stays')
    }),
  ))

test('states are listed as they are told', patience, () =>
  withSandbox({ labels: { states: runId } }, async (sandbox) => {
    const ids = async (state) => {
      const listed = await collect(daytona.list({ labels: { states: runId }, states: [state] }))
      return listed.map((item) => item.id)
    }
    assert.deepEqual(await ids('started'), [sandbox.id])
    await sandbox.pause()
    assert.deepEqual([await ids('started'), await ids('paused')], [[], [sandbox.id]])
    await sandbox.stop()
    await archive(sandbox)
    assert.deepEqual([await ids('stopped'), await ids('archived')], [[], [sandbox.id]])
  }))
