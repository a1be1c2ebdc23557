// Files in a sandbox: every operation, with names that are hard to quote, and contents that are large.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { collect, patience, sdk, sharedSandbox } from './ground.mjs'

const {
  DaytonaBadRequestError,
  DaytonaConflictError,
  DaytonaFileAccessDeniedError,
  DaytonaFileNotFoundError,
} = sdk

const box = sharedSandbox()
const folder = '/home/daytona/case'
let local

before(async () => {
  local = await mkdtemp(join(tmpdir(), 'daytona-e2e-'))
  await (await box()).fs.createFolder(folder, '755')
})

after(async () => rm(local, { recursive: true }))

const names = [
  'plain.txt',
  'with space.txt',
  'ünïcödé 😀 漢字.txt',
  "quote'single.txt",
  'quote"double.txt',
  'back\\slash.txt',
  'dollar$HOME`id`.txt',
  'percent%20%2F.txt',
  'plus+equals=hash#question?.txt',
  '.hidden',
]

for (const name of names) {
  test(`the name ${name} survives every operation`, patience, async () => {
    const { fs } = await box()
    const path = `${folder}/${name}`
    const content = Buffer.from(`content of ${name}`)
    await fs.uploadFile(content, path)
    assert.deepEqual(await fs.downloadFile(path), content)
    assert.deepEqual(Buffer.concat(await collect(await fs.downloadFileStream(path))), content)
    const info = await fs.getFileDetails(path)
    assert.deepEqual([info.name, info.size, info.isDir], [name, content.length, false])
    assert.ok((await fs.listFiles(folder)).some((entry) => entry.name === name))
    assert.ok((await fs.searchFiles(folder, '*')).files.includes(path))
    assert.ok((await fs.findFiles(folder, 'content of')).some((match) => match.file === path))
    await fs.setFilePermissions(path, { mode: '600' })
    assert.equal((await fs.getFileDetails(path)).permissions, '0600')
    await fs.moveFiles(path, `${folder}/moved`)
    assert.deepEqual(await fs.downloadFile(`${folder}/moved`), content)
    await fs.deleteFile(`${folder}/moved`)
  })
}

test('several at once', patience, async () => {
  const { fs } = await box()
  const there = join(local, 'there.bin')
  await writeFile(there, randomBytes(300_000))
  await fs.uploadFiles([
    { source: Buffer.from('one'), destination: `${folder}/one` },
    { source: there, destination: `${folder}/sub/two ü.bin` },
  ])
  const back = join(local, 'back.bin')
  const answers = await fs.downloadFiles([
    { source: `${folder}/one` },
    { source: `${folder}/sub/two ü.bin`, destination: back },
    { source: `${folder}/missing` },
  ])
  assert.equal(answers[0].result.toString(), 'one')
  assert.deepEqual(await readFile(back), await readFile(there))
  assert.equal(answers[2].errorDetails.code, 'FILE_NOT_FOUND')
})

test('a hundred megabytes there and back', patience, async () => {
  const { fs, process } = await box()
  const digest = async (chunks) => {
    const hash = createHash('sha256')
    for await (const chunk of chunks) hash.update(chunk)
    return hash.digest('hex')
  }
  const there = join(local, 'large.bin')
  const back = join(local, 'large.back')
  await writeFile(there, randomBytes(100 * 2 ** 20))
  const expected = await digest(createReadStream(there))
  const progress = []
  await fs.uploadFileStream(createReadStream(there), `${folder}/large`, {
    onProgress: ({ bytesSent }) => progress.push(bytesSent),
  })
  assert.equal(progress.at(-1), 100 * 2 ** 20)
  assert.equal((await process.executeCommand(`sha256sum < ${folder}/large`)).result.split(' ')[0], expected)
  await fs.downloadFile(`${folder}/large`, back)
  assert.equal(await digest(createReadStream(back)), expected)
  assert.equal(await digest(await fs.downloadFileStream(`${folder}/large`)), expected)
  await fs.deleteFile(`${folder}/large`)
})

test('folders, moves and deletion', patience, async () => {
  const { fs } = await box()
  await fs.createFolder(`${folder}/a/b`, '700')
  assert.equal((await fs.getFileDetails(`${folder}/a/b`)).permissions, '0700')
  await fs.uploadFile(Buffer.from('x'), `${folder}/a/b/file`)
  await fs.uploadFile(Buffer.from('y'), `${folder}/taken`)
  await assert.rejects(fs.moveFiles(`${folder}/a`, `${folder}/taken`), DaytonaConflictError)
  await assert.rejects(fs.deleteFile(`${folder}/a`), DaytonaBadRequestError)
  await fs.deleteFile(`${folder}/a`, true)
  await assert.rejects(fs.getFileDetails(`${folder}/a`), DaytonaFileNotFoundError)
})

test('replace', patience, async () => {
  const { fs } = await box()
  await fs.uploadFile(Buffer.from('old.value oldxvalue'), `${folder}/replace`)
  const answers = await fs.replaceInFiles([`${folder}/replace`, `${folder}/missing`], 'old.value', '$1')
  assert.equal((await fs.downloadFile(`${folder}/replace`)).toString(), '$1 oldxvalue')
  assert.deepEqual(answers.map((answer) => answer.success), [true, false])
})

test('missing and forbidden files have types of their own', patience, async () => {
  const { fs } = await box()
  for (const operation of [
    () => fs.downloadFile(`${folder}/missing`),
    () => fs.getFileDetails(`${folder}/missing`),
    () => fs.listFiles(`${folder}/missing`),
  ]) {
    await assert.rejects(operation(), (error) => {
      assert.ok(error instanceof DaytonaFileNotFoundError, String(error))
      assert.deepEqual([error.statusCode, error.code], [404, 'FILE_NOT_FOUND'])
      return true
    })
  }
  await assert.rejects(fs.downloadFile('/etc/shadow'), DaytonaFileAccessDeniedError)
})
