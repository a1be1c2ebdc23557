// The web terminal in a real browser, opened through the proxy with a preview token in its address.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { chromium } from 'playwright-core'
import { patience, sharedSandbox } from './ground.mjs'

const BROWSER = '/usr/bin/chromium'
const WAIT_MS = 60_000
// Nothing but the page: no look-ups at home, and no sandbox of its own, which root may not have.
const OPTIONS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

describe('the web terminal in a browser', () => {
  const box = sharedSandbox()
  let browser
  let profile
  let address
  let token

  before(async () => {
    assert.ok(existsSync(BROWSER), `${BROWSER} is missing; \`cargo x e2e typescript\` installs it`)
    profile = await mkdtemp(join(tmpdir(), 'daytona-browser-'))
    const launch = { executablePath: BROWSER, headless: true, args: OPTIONS, viewport: { width: 900, height: 500 } }
    browser = await chromium.launchPersistentContext(profile, launch)
    const sandbox = await box()
    token = (await sandbox.getPreviewLink(22222)).token
    address = `${sandbox.toolboxProxyUrl}/${sandbox.id}/proxy/22222/`
  }, patience)

  after(async () => {
    await browser?.close()
    if (profile) await rm(profile, { recursive: true, force: true, maxRetries: 10 })
  })

  async function withPage(url, work) {
    const page = await browser.newPage()
    const wrong = []
    page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()))
    page.on('pageerror', (error) => wrong.push(String(error)))
    try {
      return await work(page, await page.goto(url, { timeout: WAIT_MS }), wrong)
    } finally {
      await page.close()
    }
  }

  const open = (work) => withPage(`${address}?DAYTONA_SANDBOX_AUTH_KEY=${token}`, work)
  // Rows are filled up with blanks.
  const shown = async (page) => (await page.locator('#screen').innerText({ timeout: WAIT_MS })).replace(/ +$/gm, '')

  // Waits until the screen shows something, and returns what was found.
  async function until(page, expected, again = async () => {}) {
    const deadline = Date.now() + WAIT_MS
    for (;;) {
      const found = expected.exec(await shown(page))
      if (found) return found
      assert.ok(Date.now() < deadline, `${expected} is not in ${await shown(page)}`)
      await again()
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }

  const run = async (page, command) => {
    await page.keyboard.type(command)
    await page.keyboard.press('Enter')
  }

  test('a command is typed, and what it prints is seen', patience, () =>
    open(async (page, answer, wrong) => {
      assert.equal(answer.status(), 200)
      await until(page, /[$#]$/m)
      // As bytes: without a locale, the line that is typed into takes no other letters.
      await run(page, 'printf "sa""w $((6 * 7)) <b>\\xc3\\xa9\\xe6\\x97\\xa5</b>\\n"; pwd; id -un')
      await until(page, /saw 42 <b>é日<\/b>\n\/\ndaytona\n/)
      // What programs colour is coloured; what is mistyped can be taken back.
      await run(page, 'printf "\\033[1;31mred\\033[0m\\n"')
      await until(page, /\nred\n/)
      const look = await page.locator('#screen span.bold', { hasText: /^red$/ }).first().getAttribute('style')
      assert.match(look, /color: rgb\(217, 96, 95\)/)
      await page.keyboard.type('echo wronk')
      await page.keyboard.press('Backspace')
      await run(page, 'g')
      await until(page, /\nwrong\n/)
      assert.deepEqual(wrong, [])
    }))

  test('an interrupt, a full-screen program, and the end of the shell', patience, () =>
    open(async (page) => {
      await until(page, /[$#]$/m)
      await run(page, 'echo sle""eping; sleep 98731')
      await until(page, /\nsleeping\n/)
      await page.keyboard.press('Control+c')
      await run(page, 'seq 500 | less')
      await until(page, /^1\n2\n3\n/)
      await page.keyboard.press('End')
      await page.keyboard.type('G')
      await until(page, /\n500\n/)
      await page.keyboard.type('q')
      // The screen that was there before comes back.
      await until(page, /seq 500 \| less/)
      await run(page, 'exit')
      await page.locator('#notice', { hasText: 'The shell has ended' }).waitFor({ timeout: WAIT_MS })
    }))

  test('the shell has the size of the window, and follows it', patience, () =>
    open(async (page) => {
      await until(page, /[$#]$/m)
      const size = async (isWanted) => {
        for (const deadline = Date.now() + WAIT_MS; ; ) {
          await run(page, 'clear; echo "si""ze $(stty size) end"')
          const [, rows, columns] = await until(page, /size (\d+) (\d+) end/)
          if (isWanted(Number(rows), Number(columns))) return [Number(rows), Number(columns)]
          assert.ok(Date.now() < deadline, `${rows} ${columns}`)
        }
      }
      const [rows, columns] = await size((rows, columns) => rows > 20 && rows < 40 && columns > 80 && columns < 140)
      await page.setViewportSize({ width: 1300, height: 800 })
      await size((more, wider) => more > rows + 10 && wider > columns + 30)
      await page.setViewportSize({ width: 500, height: 300 })
      await size((fewer, narrower) => fewer < rows && narrower < columns)
    }))

  test('the page cannot speak for the origin that it shares with others', patience, () =>
    open(async (page, answer) => {
      assert.match(answer.headers()['content-security-policy'], /sandbox allow-scripts/)
      await until(page, /[$#]$/m)
      assert.equal(await page.evaluate(() => globalThis.origin), 'null')
      assert.match(await page.evaluate(() => {
        try {
          return String(localStorage.length)
        } catch (error) {
          return error.name
        }
      }), /SecurityError/)
    }))

  test('who shows no token, or a wrong one, sees no terminal', patience, async () => {
    for (const query of ['', '?DAYTONA_SANDBOX_AUTH_KEY=wrong']) {
      await withPage(address + query, async (page, answer) => {
        assert.equal(answer.status(), 401)
        assert.equal(await page.locator('#screen').count(), 0)
      })
    }
    const page = await fetch(address, { headers: { 'X-Daytona-Preview-Token': token } })
    assert.equal(page.status, 200)
  })

  test('a page from elsewhere does not connect without the token', patience, () =>
    withPage('about:blank', async (page) => {
      const connect = (url) =>
        page.evaluate(
          (url) =>
            new Promise((resolve) => {
              const socket = new WebSocket(url)
              socket.onopen = () => resolve('open')
              socket.onerror = () => resolve('refused')
            }),
          url,
        )
      const socket = `${address.replace(/^http/, 'ws')}ws`
      assert.equal(await connect(socket), 'refused')
      assert.equal(await connect(`${socket}?DAYTONA_SANDBOX_AUTH_KEY=wrong`), 'refused')
    }))
})
