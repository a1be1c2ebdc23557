// What a sandbox is and what happens to it: create, find, change, stop, start, delete.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { api, collect, daytona, patience, runId, sdk, toolbox, withSandbox } from './ground.mjs'

const {
  Daytona,
  DaytonaAuthenticationError,
  DaytonaBadRequestError,
  DaytonaConflictError,
  DaytonaError,
  DaytonaNotFoundError,
} = sdk

test('a default sandbox', patience, () =>
  withSandbox({}, async (sandbox) => {
    assert.equal(sandbox.state, 'started')
    assert.equal(sandbox.name, sandbox.id)
    assert.equal(sandbox.user, 'daytona')
    assert.deepEqual([sandbox.cpu, sandbox.memory, sandbox.disk, sandbox.gpu], [1, 1, 3, 0])
    assert.equal(sandbox.autoStopInterval, 15)
    assert.equal(sandbox.autoArchiveInterval, 7 * 24 * 60)
    assert.equal(sandbox.autoDeleteInterval, -1)
    assert.equal(sandbox.public, false)
    assert.equal(sandbox.networkBlockAll, false)
    assert.equal((await sandbox.process.executeCommand('echo ready')).result, 'ready\n')
  }))

test('name, labels, variables, user and intervals', patience, () => {
  const name = `ts-${runId}/ü`
  const params = {
    name,
    user: 'root',
    labels: { tier: 'été' },
    envVars: { GREETING: 'good  day' },
    autoStopInterval: 0,
    autoArchiveInterval: 60,
    autoDeleteInterval: 120,
    public: true,
  }
  return withSandbox(params, async (sandbox) => {
    assert.equal(sandbox.name, name)
    assert.equal(sandbox.labels.tier, 'été')
    assert.equal((await sandbox.process.executeCommand('echo "$GREETING"; id -un')).result, 'good  day\nroot\n')
    const { autoStopInterval, autoArchiveInterval, autoDeleteInterval } = sandbox
    assert.deepEqual([autoStopInterval, autoArchiveInterval, autoDeleteInterval], [0, 60, 120])
    assert.equal(sandbox.public, true)
    assert.equal((await daytona.get(name)).id, sandbox.id)
    assert.equal((await daytona.get(sandbox.id)).name, name)
    await assert.rejects(daytona.create({ name }), DaytonaConflictError)
  })
})

test('an ephemeral sandbox goes when it stops', patience, () =>
  withSandbox({ ephemeral: true }, async (sandbox) => {
    assert.equal(sandbox.autoDeleteInterval, 0)
    await sandbox.stop()
    assert.equal((await api('GET', `/sandbox/${sandbox.id}`)).status, 404)
  }))

test('lists: labels, states, pages', patience, async () => {
  const group = `group-${runId}`
  const labels = { group }
  await withSandbox({ name: `${group}-a`, labels }, (a) =>
    withSandbox({ name: `${group}-b`, labels }, async (b) => {
      const ids = async (query) => (await collect(daytona.list(query))).map((sandbox) => sandbox.id).sort()
      assert.deepEqual(await ids({ labels }), [a.id, b.id].sort())
      assert.deepEqual(await ids({ labels, limit: 1 }), [a.id, b.id].sort())
      assert.deepEqual(await ids({ name: `${group}-B` }), [b.id])
      await a.stop()
      assert.deepEqual(await ids({ labels, states: ['stopped'] }), [a.id])
      assert.deepEqual(await ids({ labels, states: ['started'] }), [b.id])
      assert.deepEqual(await ids({ labels: { group: 'other' } }), [])
    }),
  )
})

test('files survive a stop and processes do not', patience, () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.fs.uploadFile(Buffer.from('kept'), '/home/daytona/kept.txt')
    await sandbox.process.executeCommand('nohup sleep 4712 > /dev/null 2>&1 &')
    assert.match((await sandbox.process.executeCommand('ps -eo args')).result, /sleep 4712/)
    await sandbox.stop()
    assert.equal(sandbox.state, 'stopped')
    await assert.rejects(sandbox.process.executeCommand('echo off'), DaytonaError)
    await sandbox.start()
    assert.equal(sandbox.state, 'started')
    assert.equal((await sandbox.fs.downloadFile('/home/daytona/kept.txt')).toString(), 'kept')
    assert.doesNotMatch((await sandbox.process.executeCommand('ps -eo args')).result, /sleep 4712/)
  }))

test('labels and intervals change', patience, () =>
  withSandbox({}, async (sandbox) => {
    const labels = { new: '2', 'e2e-run': runId }
    assert.deepEqual(await sandbox.setLabels(labels), labels)
    await sandbox.setAutostopInterval(30)
    await sandbox.setAutoArchiveInterval(90)
    await sandbox.setAutoDeleteInterval(600)
    const again = await daytona.get(sandbox.id)
    assert.deepEqual(again.labels, labels)
    assert.deepEqual([again.autoStopInterval, again.autoArchiveInterval, again.autoDeleteInterval], [30, 90, 600])
    await assert.rejects(sandbox.setAutostopInterval(-1), DaytonaError)
    await sandbox.refreshActivity()
  }))

test('the network is blocked on demand', patience, () =>
  withSandbox({ networkBlockAll: true }, async (sandbox) => {
    assert.equal(sandbox.networkBlockAll, true)
    const { exitCode } = await sandbox.process.executeCommand('curl -sS --max-time 3 http://192.0.2.1/')
    assert.notEqual(exitCode, 0)
    await sandbox.updateNetworkSettings({ networkBlockAll: false })
    assert.equal((await daytona.get(sandbox.id)).networkBlockAll, false)
  }))

test('what a sandbox tells of itself', patience, () =>
  withSandbox({ envVars: { FIRST: '1' } }, async (sandbox) => {
    assert.equal(await sandbox.getUserHomeDir(), '/home/daytona')
    assert.equal(await sandbox.getWorkDir(), '/home/daytona')
    const metrics = await sandbox.getMetricsLatest()
    assert.ok(metrics.cpuCount >= 1 && metrics.memUsed > 0 && metrics.memTotal === 2 ** 30)
    await sandbox.updateEnv({ SECOND: '2' }, { unset: ['FIRST'] })
    assert.equal((await sandbox.process.executeCommand('echo "${FIRST-unset} $SECOND"')).result, 'unset 2\n')
    assert.ok((await (await toolbox(sandbox, 'GET', '/version')).json()).version)
  }))

test('deletion', patience, () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.delete(60, true)
    await assert.rejects(daytona.get(sandbox.id), DaytonaNotFoundError)
    await assert.rejects(sandbox.delete(), DaytonaNotFoundError)
    await assert.rejects(sandbox.process.executeCommand('echo gone'), DaytonaNotFoundError)
  }))

test('what is wrong is told apart', patience, async () => {
  await assert.rejects(daytona.get('00000000-0000-4000-8000-000000000000'), (error) => {
    assert.ok(error instanceof DaytonaNotFoundError)
    assert.equal(error.statusCode, 404)
    return true
  })
  await assert.rejects(new Daytona({ apiKey: 'dtn_wrong' }).create(), DaytonaAuthenticationError)
  await assert.rejects(daytona.create({ language: 'cobol' }), DaytonaError)
  await assert.rejects(daytona.create({ snapshot: 'no-such-snapshot' }), DaytonaBadRequestError)
  await assert.rejects(daytona.create({ name: 'x'.repeat(300) }), DaytonaBadRequestError)
  await assert.rejects(daytona.create({ name: '<b>' }), DaytonaBadRequestError)
})

test('what is not built answers 501', patience, async (t) => {
  const answer = await api('GET', '/volumes')
  if (answer.status !== 501) return t.skip('volumes are built by now; the Python suite asks for all that is not')
  const body = await answer.json()
  assert.deepEqual([body.statusCode, body.code, body.source], [501, 'NOT_IMPLEMENTED', 'DAYTONA_API'])
  await assert.rejects(daytona.volume.list(), (error) => error instanceof DaytonaError && error.statusCode === 501)
})
