// Terminals, as the official SDK opens them, and the screen of the page for browsers.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { patience, sdk, sharedSandbox, toolbox } from './ground.mjs'

const { DaytonaConnectionError, DaytonaNotFoundError } = sdk

const name = () => `pty-${randomUUID().slice(0, 8)}`

// Collects what a terminal shows, and waits for texts in it.
function watch() {
  let seen = ''
  const waiting = new Set()
  const decoder = new TextDecoder()
  const onData = (data) => {
    seen += decoder.decode(data, { stream: true })
    for (const check of waiting) check()
  }
  const until = (text) =>
    new Promise((resolve) => {
      const check = () => {
        if (!seen.includes(text)) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
    })
  return { onData, until, seen: () => seen }
}

describe('terminals', () => {
  const box = sharedSandbox()

  test('folder, variables, size and exit code', patience, async () => {
    const { process } = await box()
    const { onData, until } = watch()
    const handle = await process.createPty({ id: name(), cwd: '/usr', envs: { E: '1 $x ü' }, cols: 100, rows: 30, onData })
    await handle.waitForConnection()
    await handle.sendInput('echo "[$E]"; pwd; echo $TERM; stty size\n')
    for (const text of ['[1 $x ü]', '/usr\r\n', 'xterm-256color', '30 100']) await until(text)
    const info = await process.getPtySessionInfo(handle.sessionId)
    assert.deepEqual([info.cols, info.rows, info.cwd, info.active], [100, 30, '/usr', true])
    await process.resizePtySession(handle.sessionId, 70, 15)
    await handle.sendInput('stty size\n')
    await until('15 70')
    await handle.sendInput('exit 7\n')
    assert.equal((await handle.wait()).exitCode, 7)
    await assert.rejects(process.getPtySessionInfo(handle.sessionId), DaytonaNotFoundError)
  })

  test('what cannot be is refused', patience, async () => {
    const { process } = await box()
    const handle = await process.createPty({ id: name(), onData: () => {} })
    await handle.waitForConnection()
    // Of a refused upgrade this SDK tells only that there is no connection.
    await assert.rejects(process.createPty({ id: handle.sessionId, onData: () => {} }), DaytonaConnectionError)
    await assert.rejects(process.connectPty('none', { onData: () => {} }), DaytonaConnectionError)
    await assert.rejects(process.killPtySession('none'), DaytonaNotFoundError)
    await assert.rejects(process.resizePtySession('none', 80, 24), DaytonaNotFoundError)
    await handle.kill()
  })

  test('two clients, and one that comes later', patience, async () => {
    const { process } = await box()
    const [first, second] = [watch(), watch()]
    const one = await process.createPty({ id: name(), onData: first.onData })
    await one.waitForConnection()
    await one.sendInput('echo be""fore\n')
    await first.until('before')
    const two = await process.connectPty(one.sessionId, { onData: second.onData })
    await two.waitForConnection()
    await second.until('before')
    await two.sendInput('echo bo""th\n')
    await first.until('both')
    await second.until('both')
    assert.ok((await process.listPtySessions()).some((session) => session.id === one.sessionId))
    await process.killPtySession(one.sessionId)
    assert.equal((await one.wait()).exitCode, 137)
    assert.equal((await two.wait()).exitCode, 137)
    assert.ok(!(await process.listPtySessions()).some((session) => session.id === one.sessionId))
  })

  test('the page is served, and a page from elsewhere does not connect', patience, async () => {
    const sandbox = await box()
    const page = await toolbox(sandbox, 'GET', '/terminal/')
    assert.equal(page.status, 200)
    assert.match(await page.text(), /<script type="module" nonce="/)
    assert.equal((await toolbox(sandbox, 'GET', '/terminal/none.js')).status, 404)
  })

  test('the screen of the page follows what programs send', patience, async () => {
    const page = '../../../crates/daemon/src/http/terminal/page/screen.js'
    const source = await readFile(new URL(page, import.meta.url), 'utf8')
    const { Screen, colour } = await import(`data:text/javascript,${encodeURIComponent(source)}`)
    const replies = []
    const screen = new Screen(20, 5, (reply) => replies.push(reply))
    const write = (text) => screen.write(new TextEncoder().encode(text))
    write('hello\r\nworld\x1b[1;31m red\x1b[0m\x1b[6n\r\n')
    assert.deepEqual(screen.text(), ['hello', 'world red', '', '', ''])
    assert.deepEqual(replies, ['\x1b[2;10R'])
    assert.deepEqual({ ...screen.lines[1][6].look }, { fg: colour(1), bg: null, flags: 'bold' })
    for (let line = 0; line < 6; line++) write(`line ${line}\r\n`)
    assert.deepEqual(screen.text(), ['line 2', 'line 3', 'line 4', 'line 5', ''])
    assert.equal(screen.history.length, 4)
    write('\x1b[?1049h\x1b[H\x1b[2JALT\x1b[3;5Hmid\x1b(0lqk\x1b(B')
    assert.deepEqual(screen.text(), ['ALT', '', '    mid┌─┐', '', ''])
    write('\x1b[?1049l')
    assert.deepEqual(screen.text(), ['line 2', 'line 3', 'line 4', 'line 5', ''])
    // A region that scrolls, inserted characters, a line that wraps.
    write('\x1b[2;4r\x1b[4;1H\nX\x1b[r\x1b[1;1H\x1b[2@ab\x1b[1;18Hwxyz')
    assert.deepEqual(screen.text(), ['abline 2         wxy', 'zine 4', 'line 5', 'X', ''])
    // Characters that arrive in pieces.
    const bytes = new TextEncoder().encode('\x1b[5;1H日本é')
    for (const byte of bytes) screen.write(Uint8Array.of(byte))
    assert.equal(screen.text()[4], '日本é')
    screen.resize(10, 3)
    assert.equal(screen.text().at(-1), '日本é')
  })
})
