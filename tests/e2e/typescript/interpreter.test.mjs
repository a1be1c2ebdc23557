// The code interpreter: state, streams, errors, contexts, timeouts.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { patience, sdk, sharedSandbox } from './ground.mjs'

describe('the code interpreter', () => {
  const box = sharedSandbox()

  test('state is kept and streams are apart', patience, async () => {
    const { codeInterpreter } = await box()
    const heard = { out: '', err: '' }
    const answer = await codeInterpreter.runCode("import sys\nx = 42\nprint('é', x)\nprint('err', file=sys.stderr)\nx", {
      onStdout: (message) => { heard.out += message.output },
      onStderr: (message) => { heard.err += message.output },
    })
    assert.deepEqual([answer.stdout, answer.stderr, answer.error], ['é 42\n', 'err\n', undefined])
    assert.deepEqual(heard, { out: 'é 42\n', err: 'err\n' })
    assert.equal((await codeInterpreter.runCode('print(x + 1)')).stdout, '43\n')
  })

  test('errors', patience, async () => {
    const { codeInterpreter } = await box()
    const { error } = await codeInterpreter.runCode("raise ValueError('on purpose')")
    assert.deepEqual([error.name, error.value], ['ValueError', 'on purpose'])
    assert.match(error.traceback, /File "<cell \d+>", line 1/)
    await assert.rejects(codeInterpreter.runCode(' '))
  })

  test('contexts', patience, async () => {
    const { codeInterpreter } = await box()
    const context = await codeInterpreter.createContext('/tmp')
    assert.deepEqual([context.cwd, context.language, context.active], ['/tmp', 'python', true])
    await codeInterpreter.runCode('y = 1', { context })
    assert.equal((await codeInterpreter.runCode('print(y)', { context })).stdout, '1\n')
    assert.equal((await codeInterpreter.runCode('print(y)')).error.name, 'NameError')
    assert.deepEqual((await codeInterpreter.listContexts()).map(({ id }) => id), [context.id])
    await codeInterpreter.deleteContext(context)
    await assert.rejects(codeInterpreter.runCode('1', { context }))
    await assert.rejects(codeInterpreter.deleteContext(context))
  })

  test('variables and a timeout', patience, async () => {
    const { codeInterpreter } = await box()
    const answer = await codeInterpreter.runCode("import os; print(os.environ['A'])", { envs: { A: 'x y' } })
    assert.equal(answer.stdout, 'x y\n')
    await assert.rejects(codeInterpreter.runCode('import time; time.sleep(977)', { timeout: 1 }), sdk.DaytonaTimeoutError)
    assert.equal((await codeInterpreter.runCode("print('alive')")).stdout, 'alive\n')
  })
})
