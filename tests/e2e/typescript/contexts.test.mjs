// What a build needs arrives, by the official client's own upload.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { daytona, patience, sdk } from './ground.mjs'

const require = createRequire(createRequire(import.meta.url).resolve('@daytonaio/sdk'))
const { GetObjectCommand, S3Client } = require('@aws-sdk/client-s3')

async function read(s3, bucket, key) {
  const found = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  return Buffer.from(await found.Body.transformToByteArray())
}

test('every way to add files arrives', patience, async () => {
  const home = mkdtempSync(join(tmpdir(), 'contexts-'))
  try {
    writeFileSync(join(home, 'one.txt'), 'one file')
    mkdirSync(join(home, 'tree'))
    const big = randomBytes(12 << 20)
    writeFileSync(join(home, 'tree/big.bin'), big)
    const image = sdk.Image.base('debian:12')
      .addLocalFile(join(home, 'one.txt'), '/work/one.txt')
      .addLocalDir(join(home, 'tree'), '/work/tree')
    const api = daytona.snapshot.objectStorageApi
    const hashes = await daytona.snapshot.constructor.processImageContext(api, image)
    assert.equal(hashes.length, 2)
    const again = await daytona.snapshot.constructor.processImageContext(api, image)
    assert.deepEqual(again, hashes)

    const { data: access } = await api.getPushAccess()
    const s3 = new S3Client({
      endpoint: access.storageUrl,
      region: access.region,
      forcePathStyle: true,
      credentials: {
        accessKeyId: access.accessKey,
        secretAccessKey: access.secret,
        sessionToken: access.sessionToken,
      },
    })
    const contents = []
    for (const hash of hashes) {
      contents.push(await read(s3, access.bucket, `${access.organizationId}/${hash}/context.tar`))
    }
    assert.ok(contents.some((content) => content.includes('one file')))
    assert.ok(contents.some((content) => content.includes(big)))
    const strange = `00000000-0000-4000-8000-000000000000/${hashes[0]}/context.tar`
    await assert.rejects(read(s3, access.bucket, strange), { name: 'AccessDenied' })
  } finally {
    rmSync(home, { recursive: true })
  }
})
