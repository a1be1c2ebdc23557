// Who logs in instead of showing a key: the official SDK with a token and an organisation.

import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import http from 'node:http'
import { test } from 'node:test'
import { between, soon, STUBBORN } from './between.mjs'
import { api, apiUrl, patience, sdk } from './ground.mjs'

const text = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

// A login provider of the cases' own: it publishes its description and keys as OpenID Connect says, and signs tokens.
async function provider({ issuer, audience }) {
  const pairs = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  }
  // Named anew each time: a server that knew another provider at this address must not take one for the other.
  const run = createHash('sha256').update(randomUUID()).digest('hex')
  const keys = Object.entries(pairs).map(([algorithm, pair]) => {
    return { ...pair.publicKey.export({ format: 'jwk' }), kid: `${algorithm}-${run}`, use: 'sig' }
  })
  const documents = {
    '/.well-known/openid-configuration': { issuer, jwks_uri: `${issuer}/keys` },
    '/keys': { keys },
  }
  const server = http.createServer((request, response) => {
    const found = documents[request.url]
    response.writeHead(found ? 200 : 404, { connection: 'close' })
    response.end(JSON.stringify(found ?? null))
  })
  const { hostname, port } = new URL(issuer)
  await new Promise((listening, failed) => server.on('error', failed).listen(Number(port), hostname, listening))
  const token = (user, algorithm = 'RS256') => {
    const header = { alg: algorithm, typ: 'JWT', kid: `${algorithm}-${run}` }
    const claims = { iss: issuer, aud: audience, sub: user, exp: Math.floor(Date.now() / 1000) + 3600 }
    const signed = `${text(header)}.${text(claims)}`
    const key = { key: pairs[algorithm].privateKey, dsaEncoding: 'ieee-p1363' }
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
  }
  return { token, close: () => server.close() }
}

async function ask(path, token) {
  return fetch(apiUrl + path, { headers: { Authorization: `Bearer ${token}` } })
}

const { oidc } = await (await fetch(`${apiUrl}/config`)).json()
const skip = oidc.issuer.startsWith('http://127.')
  ? false
  : `this server takes tokens of ${oidc.issuer || 'no login provider'}; \`cargo x e2e\` starts one that takes those of the cases`

test('the SDK works with a token', { ...patience, skip }, async () => {
  const login = await provider(oidc)
  try {
    for (const algorithm of ['RS256', 'ES256']) {
      const jwtToken = login.token(`e2e|${randomUUID()}`, algorithm)
      let listed = await ask('/organizations', jwtToken)
      // A server that asked there a moment ago, when another listened, asks again after a while.
      for (let tries = 0; listed.status === 401 || listed.status === 503; tries++) {
        assert.ok(tries < 600, await listed.text())
        await new Promise((resolve) => setTimeout(resolve, 100))
        listed = await ask('/organizations', jwtToken)
      }
      const organizationId = (await listed.json())[0].id
      const passing = await between()
      const client = new sdk.Daytona({ jwtToken, organizationId, apiUrl: passing.url })
      const sandbox = await client.create({}, { timeout: 60 })
      try {
        assert.equal(sandbox.organizationId, organizationId)
        assert.equal((await sandbox.process.executeCommand('echo $((6 * 7))')).result.trim(), '42')
        // It is there for its owner alone.
        assert.equal((await api('GET', `/sandbox/${sandbox.id}`)).status, 404)
        await sandbox.process.executeCommand(STUBBORN)
        await soon(() => passing.heard.includes('40{"sid"'))
        passing.frozen = new Map()
        await sandbox.stop(60)
        // Whoever asked was told that it still stops; only the event said that it has.
        assert.ok(passing.polled.length > 0)
        assert.deepEqual([...new Set(passing.polled)], ['stopping'])
        assert.match(passing.heard, /"newState":"stopped","oldState":"stopping"/)
      } finally {
        passing.frozen = null
        await sandbox.delete(60)
        await client[Symbol.asyncDispose]()
        passing.close()
      }
    }
  } finally {
    login.close()
  }
})

test('an organisation of others is refused', { ...patience, skip }, async () => {
  const login = await provider(oidc)
  try {
    const { organizationId } = await (await api('POST', '/sandbox', {})).json().then(async (made) => {
      await api('DELETE', `/sandbox/${made.id}`)
      return made
    })
    const jwtToken = login.token(`e2e|${randomUUID()}`)
    const client = new sdk.Daytona({ jwtToken, organizationId, apiUrl })
    const refusal = async () => {
      const error = await client.create({}, { timeout: 60 }).then(() => null, (error) => error)
      assert.ok(error, 'it is refused')
      return error
    }
    let error = await refusal()
    for (let tries = 0; error.statusCode === 401 || error.statusCode === 503; tries++) {
      assert.ok(tries < 600, error.message)
      await new Promise((resolve) => setTimeout(resolve, 100))
      error = await refusal()
    }
    assert.match(error.message, /Invalid authentication context/)
    await client[Symbol.asyncDispose]()
  } finally {
    login.close()
  }
})
