// Commands and code in a sandbox: what goes in, what comes out, and that nothing of them stays.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { patience, sdk, sharedSandbox, toolbox } from './ground.mjs'

const { DaytonaBadRequestError, DaytonaTimeoutError } = sdk

describe('commands', () => {
  const box = sharedSandbox()

  test('output, exit code, folder and variables', patience, async () => {
    const { process } = await box()
    const answer = await process.executeCommand('pwd; echo "$A"; echo err >&2; exit 42', '/tmp', { A: 'one $two' })
    assert.equal(answer.exitCode, 42)
    assert.equal(answer.result, '/tmp\none $two\nerr\n')
    assert.equal(answer.artifacts.stdout, answer.result)
  })

  test('heredoc and unicode', patience, async () => {
    const { process } = await box()
    const { result } = await process.executeCommand("cat <<'END'\n$HOME \"d\" 's' `t` ünï😀\nEND")
    assert.equal(result, "$HOME \"d\" 's' `t` ünï😀\n")
  })

  test('a limit that is hit: the SDK takes an answer that tells the cause', patience, async () => {
    const { process } = await box()
    const hog = 'a = []\nwhile True: a.append(bytearray(16 << 20))'
    assert.equal((await process.executeCommand(`python3 -c '${hog}'`)).exitCode, 137)
    assert.notEqual((await process.codeRun(hog)).exitCode, 0)
    assert.equal((await process.executeCommand('echo here')).result, 'here\n')
  })

  test('command not found', patience, async () => {
    const { process } = await box()
    assert.equal((await process.executeCommand('no-such-command-at-all')).exitCode, 127)
  })

  for (const command of [
    'sleep 982',
    "setsid sleep 982 & setsid sh -c 'setsid sleep 982 & sleep 982' & sleep 982",
    "trap '' TERM INT HUP; setsid nohup sh -c \"trap '' TERM; sleep 982\" & sleep 982",
  ]) {
    test(`a timeout kills the whole tree: ${command}`, patience, async () => {
      const { process } = await box()
      await assert.rejects(process.executeCommand(command, undefined, undefined, 1), (error) => {
        assert.ok(error instanceof DaytonaTimeoutError, String(error))
        assert.equal(error.statusCode, 408)
        return true
      })
      assert.doesNotMatch((await process.executeCommand('ps -eo args')).result, /982/)
    })
  }

  test('what is no command is refused', patience, async () => {
    const { process } = await box()
    await assert.rejects(process.executeCommand(' '), DaytonaBadRequestError)
    await assert.rejects(process.executeCommand('true', undefined, { 'A-B': 'x' }), DaytonaBadRequestError)
  })

  test('a bad language is refused', patience, async () => {
    const body = JSON.stringify({ code: '1', language: 'cobol' })
    const answer = await toolbox(await box(), 'POST', '/process/code-run', body)
    assert.equal(answer.status, 400)
    assert.equal((await answer.json()).statusCode, 400)
  })
})

const languages = {
  python: {
    hello: "print('hello', 1 + 2)",
    argv: 'import sys, json; print(json.dumps(sys.argv[1:]))',
    env: "import os; print(os.environ['WHO'])",
    syntax: 'def broken(:',
    exit: 'import sys; sys.exit(7)',
    sleep: 'import time; time.sleep(978)',
  },
  javascript: {
    hello: "console.log('hello', 1 + 2)",
    argv: 'console.log(JSON.stringify(process.argv.slice(2)))',
    env: 'console.log(process.env.WHO)',
    syntax: 'function broken( {',
    exit: 'process.exit(7)',
    sleep: 'setTimeout(() => {}, 978000)',
  },
  typescript: {
    hello: "const sum: number = 1 + 2; console.log('hello', sum)",
    argv: 'console.log(JSON.stringify(process.argv.slice(2) as string[]))',
    env: 'console.log(process.env.WHO as string)',
    syntax: 'function broken( {',
    exit: 'process.exit(7 as number)',
    sleep: 'setTimeout((): void => {}, 978000)',
  },
}

for (const [language, code] of Object.entries(languages)) {
  describe(`code in ${language}`, () => {
    const box = sharedSandbox({ language })

    test('output', patience, async () => {
      const answer = await (await box()).process.codeRun(code.hello)
      assert.deepEqual([answer.exitCode, answer.result], [0, 'hello 3\n'])
    })

    test('arguments and variables', patience, async () => {
      const { process } = await box()
      const argv = ['one', 'two words', '--flag="q" \'q\'', '', 'ü', '$HOME']
      assert.deepEqual(JSON.parse((await process.codeRun(code.argv, { argv })).result), argv)
      assert.equal((await process.codeRun(code.env, { env: { WHO: 'me $HOME' } })).result, 'me $HOME\n')
    })

    test('errors', patience, async () => {
      const { process } = await box()
      const syntax = await process.codeRun(code.syntax)
      assert.equal(syntax.exitCode, 1)
      assert.match(syntax.result, /error/i)
      assert.equal((await process.codeRun(code.exit)).exitCode, 7)
    })

    test('a timeout', patience, async () => {
      const { process } = await box()
      await assert.rejects(process.codeRun(code.sleep, undefined, 2), DaytonaTimeoutError)
      assert.doesNotMatch((await process.executeCommand('ps -eo args')).result, /978/)
    })
  })
}
