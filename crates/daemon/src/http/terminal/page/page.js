// Connects the page to a shell: draws what the screen holds, and sends keys. It stands behind `screen.js` in one module.

const element = document.getElementById('screen');
const keys = document.getElementById('keys');
const notice = document.getElementById('notice');

function size() {
  const probe = document.createElement('span');
  probe.textContent = 'X'.repeat(10);
  element.append(probe);
  const box = probe.getBoundingClientRect();
  probe.remove();
  const line = parseFloat(getComputedStyle(element).lineHeight) || 17;
  const limit = (value) => Math.max(2, Math.min(1000, Math.floor(value)));
  return { cols: limit((element.clientWidth - 12) / (box.width / 10 || 8)), rows: limit((element.clientHeight - 12) / line) };
}

const address = new URL('ws', location.href);
address.protocol = address.protocol.replace('http', 'ws');
// A token in the address of the page opens the socket, too.
address.search = location.search;
const socket = new WebSocket(address);
socket.binaryType = 'arraybuffer';

let { cols, rows } = size();
const send = (text) => {
  if (socket.readyState !== WebSocket.OPEN) return;
  // As bytes, so that typed text is never taken for a size; in frames that are not too long.
  const bytes = new TextEncoder().encode(text);
  for (let start = 0; start < bytes.length; start += 32768) socket.send(bytes.slice(start, start + 32768));
};
const screen = new Screen(cols, rows, send);

function span(run, look, isCursor) {
  const part = document.createElement('span');
  part.textContent = run;
  const isInverse = look.flags.includes('inverse');
  const [fg, bg] = isInverse ? [look.bg ?? '#101418', look.fg ?? '#d8dee4'] : [look.fg, look.bg];
  if (fg) part.style.color = fg;
  if (bg) part.style.backgroundColor = bg;
  part.className = `${look.flags}${isCursor ? ' cursor' : ''}`;
  return part;
}

function row(line, cursor) {
  const shown = document.createElement('div');
  let run = '';
  let look = null;
  const flush = () => { if (run) shown.append(span(run, look, false)); run = ''; };
  line.forEach((cell, x) => {
    if (x === cursor) {
      flush();
      shown.append(span(cell.text || ' ', cell.look, true));
      look = null;
      return;
    }
    if (!look || cell.look.fg !== look.fg || cell.look.bg !== look.bg || cell.look.flags !== look.flags) {
      flush();
      look = cell.look;
    }
    run += cell.text;
  });
  flush();
  return shown;
}

let isDue = false;
function draw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    const isAtEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 20;
    const past = screen.other ? [] : screen.history;
    element.replaceChildren(
      ...past.map((line) => row(line, -1)),
      ...screen.lines.map((line, y) => row(line, screen.showsCursor && y === screen.y ? screen.x : -1)),
    );
    if (isAtEnd) element.scrollTop = element.scrollHeight;
    document.title = screen.title || 'Terminal';
  });
}

const tellSize = () => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify({ rows, cols }));
socket.onopen = tellSize;
socket.onmessage = ({ data }) => {
  if (data instanceof ArrayBuffer) screen.write(new Uint8Array(data));
  draw();
};
socket.onclose = ({ code, reason }) => {
  notice.textContent = code === 1000 ? 'The shell has ended. Reload for a new one.' : `Disconnected (${code}) ${reason}`;
  notice.hidden = false;
};
new ResizeObserver(() => {
  const now = size();
  if (now.cols === cols && now.rows === rows) return;
  ({ cols, rows } = now);
  screen.resize(cols, rows);
  tellSize();
  draw();
}).observe(document.body);

const ARROWS = { ArrowUp: 'A', ArrowDown: 'B', ArrowRight: 'C', ArrowLeft: 'D', Home: 'H', End: 'F' };
const SPECIAL = {
  Enter: '\r', Backspace: '\x7f', Tab: '\t', Escape: '\x1b', Delete: '\x1b[3~', Insert: '\x1b[2~', PageUp: '\x1b[5~',
  PageDown: '\x1b[6~', F1: '\x1bOP', F2: '\x1bOQ', F3: '\x1bOR', F4: '\x1bOS', F5: '\x1b[15~', F6: '\x1b[17~',
  F7: '\x1b[18~', F8: '\x1b[19~', F9: '\x1b[20~', F10: '\x1b[21~', F11: '\x1b[23~', F12: '\x1b[24~',
};

/** What a key sends; nothing for those that come as input. */
function sequence(event) {
  const modifiers = 1 + (event.shiftKey ? 1 : 0) + (event.altKey ? 2 : 0) + (event.ctrlKey ? 4 : 0);
  const arrow = ARROWS[event.key];
  if (arrow) {
    if (modifiers > 1) return `\x1b[1;${modifiers}${arrow}`;
    return `\x1b${screen.sendsApplicationKeys ? 'O' : '['}${arrow}`;
  }
  if (event.key === 'Tab' && event.shiftKey) return '\x1b[Z';
  if (SPECIAL[event.key]) return (event.altKey ? '\x1b' : '') + SPECIAL[event.key];
  if (event.key.length !== 1 || event.metaKey || event.getModifierState('AltGraph')) return null;
  if (event.ctrlKey && event.shiftKey) return null;
  if (event.ctrlKey) {
    const code = event.key.toUpperCase().charCodeAt(0);
    if (event.key === ' ') return '\x00';
    return code >= 0x40 && code <= 0x5f ? String.fromCharCode(code & 0x1f) : null;
  }
  return event.altKey ? `\x1b${event.key}` : null;
}

keys.addEventListener('keydown', (event) => {
  if (event.isComposing) return;
  // With text selected, Ctrl+C copies it.
  if (event.ctrlKey && event.key === 'c' && String(getSelection())) return;
  const text = sequence(event);
  if (text === null) return;
  event.preventDefault();
  send(text);
});
keys.addEventListener('input', (event) => {
  if (event.isComposing) return;
  send(keys.value);
  keys.value = '';
});
keys.addEventListener('compositionend', () => {
  send(keys.value);
  keys.value = '';
});
keys.addEventListener('paste', (event) => {
  event.preventDefault();
  // What ends the mark must not be in it.
  const text = event.clipboardData.getData('text').replace(/\r?\n/g, '\r').replaceAll('\x1b', '');
  send(screen.marksPaste ? `\x1b[200~${text}\x1b[201~` : text);
});
element.addEventListener('mouseup', () => { if (!String(getSelection())) keys.focus(); });
addEventListener('focus', () => keys.focus());
keys.focus();
draw();
