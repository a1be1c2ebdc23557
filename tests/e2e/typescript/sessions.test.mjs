// Sessions: shells that are kept between commands.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { patience, sdk, sharedSandbox } from './ground.mjs'

const { DaytonaConflictError, DaytonaNotFoundError } = sdk

describe('sessions', () => {
  const box = sharedSandbox()

  // Makes a session for a case, and deletes it whatever happened.
  const withSession = async (work) => {
    const { process } = await box()
    const name = `case-${randomUUID().slice(0, 8)}`
    await process.createSession(name)
    try {
      return await work(process, name, (command, fields) => process.executeSessionCommand(name, { command, ...fields }))
    } finally {
      await process.deleteSession(name).catch(() => undefined)
    }
  }

  const ended = async (process, name, id) => {
    for (let tries = 0; tries < 1500; tries++) {
      const { exitCode } = await process.getSessionCommand(name, id)
      if (exitCode !== undefined && exitCode !== null) return exitCode
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error('the command does not end')
  }

  test('state, streams and exit codes', patience, () =>
    withSession(async (process, name, run) => {
      await run('cd /tmp; export A=1; f() { echo f; }')
      const answer = await run('pwd; echo $A; f; echo err >&2; (exit 42)')
      assert.deepEqual([answer.exitCode, answer.stdout, answer.stderr], [42, '/tmp\n1\nf\n', 'err\n'])
      assert.equal((await run("cat <<'END'\n$A ünï😀\nEND")).stdout, '$A ünï😀\n')
      const found = await process.getSession(name)
      assert.equal(found.commands.length, 3)
      assert.equal(found.commands[1].exitCode, 42)
      assert.ok((await process.listSessions()).some(({ sessionId }) => sessionId === name))
      await assert.rejects(process.createSession(name), DaytonaConflictError)
    }))

  test('a session that is gone is not found', patience, async () => {
    const { process } = await box()
    await assert.rejects(process.getSession('no-such-session'), DaytonaNotFoundError)
    await assert.rejects(process.deleteSession('no-such-session'), DaytonaNotFoundError)
    await assert.rejects(process.executeSessionCommand('no-such-session', { command: 'true' }), DaytonaNotFoundError)
  })

  test('logs are read, and followed to the end', patience, () =>
    withSession(async (process, name, run) => {
      const script = 'for n in 1 2 3; do echo out $n; echo err $n >&2; sleep 0.05; done; printf end'
      const { cmdId } = await run(script, { runAsync: true })
      let [out, err] = ['', '']
      await process.getSessionCommandLogs(name, cmdId, (piece) => (out += piece), (piece) => (err += piece))
      assert.deepEqual([out, err], ['out 1\nout 2\nout 3\nend', 'err 1\nerr 2\nerr 3\n'])
      assert.equal(await ended(process, name, cmdId), 0)
      const logs = await process.getSessionCommandLogs(name, cmdId)
      assert.deepEqual([logs.stdout, logs.stderr], [out, err])
    }))

  test('what looks like marks is followed as it is', patience, () =>
    withSession(async (process, name, run) => {
      const odd = '\x01\x01\x01\x01\x02\x02\x02\x02\x02x\x01\x01\x01\n'.repeat(20) + 'no end'
      const bytes = `b'${'\\1'.repeat(4)}${'\\2'.repeat(5)}x${'\\1'.repeat(3)}\\n' * 20 + b'no end'`
      const script = `python3 -c "import sys; o = ${bytes}; sys.stdout.buffer.write(o); sys.stdout.flush(); sys.stderr.buffer.write(o)"`
      const { cmdId } = await run(script, { runAsync: true })
      let [out, err] = ['', '']
      await process.getSessionCommandLogs(name, cmdId, (piece) => (out += piece), (piece) => (err += piece))
      assert.deepEqual([out, err], [odd, odd])
    }))

  test('much output is followed without a gap', patience, () =>
    withSession(async (process, name, run) => {
      const { cmdId } = await run('seq 1 300000', { runAsync: true })
      const pieces = []
      await process.getSessionCommandLogs(name, cmdId, (piece) => pieces.push(piece), () => undefined)
      const expected = Array.from({ length: 300_000 }, (_, n) => `${n + 1}\n`).join('')
      assert.ok(pieces.join('') === expected)
    }))

  test('input is typed into a command', patience, () =>
    withSession(async (process, name, run) => {
      const { cmdId } = await run('printf "Name: "; read name; echo "Hello $name"', { runAsync: true })
      await process.sendSessionCommandInput(name, cmdId, 'Ada')
      assert.equal(await ended(process, name, cmdId), 0)
      const { stdout } = await process.getSessionCommandLogs(name, cmdId)
      assert.ok(stdout.endsWith('Hello Ada\n'), stdout)
      await assert.rejects(process.sendSessionCommandInput(name, cmdId, 'late'), /has ended/)
    }))

  test('a shell that ends is told', patience, () =>
    withSession(async (process, name, run) => {
      assert.equal((await run('exit 3')).exitCode, 3)
      await assert.rejects(run('true'), /exit code 3/)
    }))

  test('the entrypoint is always there', patience, async () => {
    const { process } = await box()
    const session = await process.getEntrypointSession()
    assert.equal(session.sessionId, 'entrypoint')
    if (session.commands.some(({ exitCode }) => exitCode === undefined)) return
    assert.equal((await process.getEntrypointLogs()).stdout, '')
  })
})
