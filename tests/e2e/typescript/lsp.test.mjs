// Language servers in a sandbox, as the official SDK asks them.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { patience, sdk, sharedToolbox } from './ground.mjs'

const { DaytonaLspServerNotInitializedError, DaytonaNotFoundError, LspLanguageId } = sdk

describe('language servers', () => {
  const box = sharedToolbox()
  const named = (symbols) => symbols.map((symbol) => symbol.name)

  test('typescript from start to stop', patience, async () => {
    const sandbox = await box()
    await sandbox.fs.createFolder('project', '755')
    const text = 'export class Greeter {\n  greet() { return 1 }\n}\nconst greeter = new Greeter()\ngreeter.\n'
    await sandbox.fs.uploadFile(Buffer.from(text), 'project/greeter.ts')
    const server = await sandbox.createLspServer(LspLanguageId.TYPESCRIPT, 'project')
    await server.start()
    await server.didOpen('project/greeter.ts')
    const symbols = named(await server.documentSymbols('project/greeter.ts'))
    assert.ok(symbols.includes('Greeter') && symbols.includes('greet'), symbols.join())
    assert.ok(named(await server.sandboxSymbols('Greeter')).includes('Greeter'))
    const proposals = await server.completions('project/greeter.ts', { line: 4, character: 8 })
    assert.ok(proposals.items.some((item) => item.label === 'greet'))
    await server.didClose('project/greeter.ts')
    await server.stop()
    await assert.rejects(server.documentSymbols('project/greeter.ts'), DaytonaLspServerNotInitializedError)
  })

  test('python, with a document that nobody opened', patience, async () => {
    const sandbox = await box()
    await sandbox.fs.uploadFile(Buffer.from('class Greeter:\n    pass\n'), 'greeter.py')
    const server = await sandbox.createLspServer(LspLanguageId.PYTHON, '.')
    await server.start()
    assert.deepEqual(named(await server.documentSymbols('greeter.py')), ['Greeter'])
    await server.stop()
  })

  test('a project that is not there', patience, async () => {
    const server = await (await box()).createLspServer(LspLanguageId.JAVASCRIPT, 'no/such/project')
    await assert.rejects(server.start(), DaytonaNotFoundError)
  })
})
