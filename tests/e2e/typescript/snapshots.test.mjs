// Snapshots of images and Dockerfiles, as the official SDK asks for them.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'

import { apiKey, apiUrl, daytona, patience, runId, sdk } from './ground.mjs'

const { Image } = sdk
const address = process.env.E2E_REGISTRY
const skip = address ? false : 'E2E_REGISTRY is not set: `cargo x e2e` starts a registry and says where it is'
const base = `${address}/base/tiny:1`
const options = { ...patience, skip }

async function api(method, path, body) {
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' }
  return fetch(`${apiUrl}${path}`, { method, headers, body: body && JSON.stringify(body) })
}

const named = []
function name(ending = '') {
  named.push(`e2e-${randomUUID().slice(0, 8)}${ending}`)
  return named.at(-1)
}

let login
before(async () => {
  if (skip) return
  const { E2E_REGISTRY_USER: username, E2E_REGISTRY_PASSWORD: password } = process.env
  const answer = await api('POST', '/docker-registry', { name: 'e2e', url: address, username, password })
  assert.equal(answer.status, 201)
  login = (await answer.json()).id
})

after(async () => {
  for (const known of named) await daytona.snapshot.get(known).then(found => daytona.snapshot.delete(found), () => {})
  if (login) await api('DELETE', `/docker-registry/${login}`)
})

function declared() {
  return Image.base(base)
    .env({ RUN_OF: randomUUID(), TWO_WORDS: 'of two' })
    .runCommands('mkdir -p /work', 'echo "$TWO_WORDS" > /work/words')
    .workdir('/work')
}

async function withSandbox(params, settings, work) {
  const sandbox = await daytona.create({ ...params, labels: { 'e2e-run': runId } }, { timeout: 150, ...settings })
  try {
    return await work(sandbox)
  } finally {
    await sandbox.delete(60)
  }
}

test('an image becomes a snapshot that makes sandboxes, whatever its name', options, async () => {
  const snapshot = name('/team:v1')
  const made = await daytona.snapshot.create({ name: snapshot, image: base }, { timeout: 120 })
  assert.equal(made.state, 'active')
  assert.equal((await daytona.snapshot.get(snapshot)).id, made.id)
  const listed = await daytona.snapshot.list(1, 200)
  assert.ok(listed.items.some(item => item.name === snapshot) && listed.items.some(item => item.general))
  await withSandbox({ snapshot }, {}, async sandbox => {
    assert.equal((await sandbox.process.executeCommand('echo $FROM_BASE')).result, 'yes\n')
  })
  await daytona.snapshot.delete(made)
  await assert.rejects(daytona.snapshot.get(snapshot))
})

test('a declared image becomes a snapshot and tells of it', options, async () => {
  const said = []
  // The SDK asks once a second how far it is, and listens once it hears that it is being built.
  const params = { name: name(), image: declared().runCommands('sleep 4') }
  const made = await daytona.snapshot.create(params, { onLogs: line => said.push(line), timeout: 150 })
  assert.equal(made.state, 'active')
  assert.ok(said.join('\n').includes('mkdir -p /work'), said.join('\n'))
  await daytona.snapshot.delete(made)
})

test('a sandbox is made of a declared image', options, async () => {
  const said = []
  await withSandbox({ image: declared() }, { onSnapshotCreateLogs: line => said.push(line) }, async sandbox => {
    assert.equal((await sandbox.process.executeCommand('cat words; pwd')).result, 'of two\n/work\n')
  })
  assert.ok(said.length > 0)
})

test('a build that fails says so', options, async () => {
  const failing = name()
  const image = Image.base(base).runCommands(`echo ${randomUUID()}; exit 7`)
  await assert.rejects(daytona.snapshot.create({ name: failing, image }, { timeout: 150 }))
  const failed = await daytona.snapshot.get(failing)
  assert.equal(failed.state, 'build_failed')
  assert.match(failed.errorReason, /exit code 7/)
})
