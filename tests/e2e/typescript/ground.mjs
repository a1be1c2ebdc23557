// What every case stands on: a client of the official SDK, and sandboxes that never outlive their case.

import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { after } from 'node:test'

// As CommonJS: with Node 18, which Debian 12 has, the SDK's other build cannot load what it uploads files with.
export const sdk = createRequire(import.meta.url)('@daytonaio/sdk')

for (const name of ['DAYTONA_API_URL', 'DAYTONA_API_KEY']) {
  if (!process.env[name]) throw new Error(`${name} is not set; run \`cargo x e2e typescript\``)
}

export const apiUrl = process.env.DAYTONA_API_URL.replace(/\/$/, '')
export const apiKey = process.env.DAYTONA_API_KEY
export const runId = randomUUID().slice(0, 12)
export const daytona = new sdk.Daytona()

// No case waits longer than a slow machine's slowest create, start and stop together.
export const patience = { timeout: 180_000 }

// Makes a sandbox, gives it to `work`, and deletes it whatever happened.
export async function withSandbox(params, work) {
  const labels = { ...params.labels, 'e2e-run': runId }
  const sandbox = await daytona.create({ ...params, labels }, { timeout: 60 })
  try {
    return await work(sandbox)
  } finally {
    await remove(sandbox.id)
  }
}

const shared = []

// Makes a sandbox for several cases when the first asks for it; it is deleted after the file's last case.
export function sharedSandbox(params = {}) {
  let sandbox
  return () => {
    if (!sandbox) {
      sandbox = daytona.create({ ...params, labels: { 'e2e-run': runId } }, { timeout: 60 })
      shared.push(sandbox)
    }
    return sandbox
  }
}

// The same of the toolbox image, which has git, vim, charts and language servers: deploy/images/toolbox.toml.
export function sharedToolbox() {
  return sharedSandbox({ snapshot: 'toolbox' })
}

// Deletes a sandbox and waits until it is gone; one that is gone already is fine.
export async function remove(id) {
  const answer = await api('DELETE', `/sandbox/${id}`)
  if (answer.status !== 200 && answer.status !== 404) throw new Error(await answer.text())
  for (let tries = 0; (await api('GET', `/sandbox/${id}`)).status !== 404; tries++) {
    if (tries > 300) throw new Error(`the sandbox ${id} does not go away`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

// Plain HTTP to the control plane, for what the SDK would never send.
export async function api(method, path, body) {
  const headers = { Authorization: `Bearer ${apiKey}` }
  return fetch(apiUrl + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
}

// Plain HTTP to a sandbox's toolbox.
export async function toolbox(sandbox, method, path, body) {
  const headers = { Authorization: `Bearer ${apiKey}` }
  return fetch(`${sandbox.toolboxProxyUrl}/${sandbox.id}${path}`, { method, headers, body })
}

export async function collect(iterable) {
  const items = []
  for await (const item of iterable) items.push(item)
  return items
}

after(async () => {
  for (const made of await Promise.allSettled(shared)) {
    if (made.status === 'fulfilled') await remove(made.value.id)
  }
  const left = await collect(daytona.list({ labels: { 'e2e-run': runId } }))
  await daytona[Symbol.asyncDispose]()
  if (left.length > 0) throw new Error(`sandboxes left over: ${left.map((sandbox) => sandbox.id)}`)
})
