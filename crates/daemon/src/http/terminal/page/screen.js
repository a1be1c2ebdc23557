// What a terminal shows, as rows of cells: follows the control sequences that programs send (ECMA-48, xterm).

const KEPT_LINES = 1000;
const PLAIN = Object.freeze({ fg: null, bg: null, flags: '' });
// The characters of the line drawing set, from ` on.
const DRAWING = '◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·';
const BASE = [
  '#1c2126', '#d9605f', '#7fb069', '#d9a441', '#6296d9', '#b57edc', '#56b3b4', '#d8dee4',
  '#6b7680', '#f08482', '#a3cf8b', '#f0c674', '#8ab8f5', '#d0a5f0', '#7fd1d1', '#ffffff',
];

/** The colour of one of 256 numbers. */
export function colour(number) {
  if (number < 16) return BASE[number];
  if (number >= 232) {
    const grey = 8 + (number - 232) * 10;
    return `rgb(${grey},${grey},${grey})`;
  }
  const level = (part) => (part === 0 ? 0 : 55 + part * 40);
  const cube = number - 16;
  return `rgb(${level(Math.floor(cube / 36))},${level(Math.floor(cube / 6) % 6)},${level(cube % 6)})`;
}

function width(character) {
  const code = character.codePointAt(0);
  if (code < 0x300) return 1;
  if (/\p{M}/u.test(character) || code === 0x200d || (code >= 0xfe00 && code <= 0xfe0f)) return 0;
  const isWide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x1f300 && code <= 0x1faff) || code >= 0x20000;
  return isWide ? 2 : 1;
}

export class Screen {
  /** Answers to questions of programs are passed to `reply`. */
  constructor(columns, rows, reply = () => {}) {
    this.columns = columns;
    this.rows = rows;
    this.reply = reply;
    this.decoder = new TextDecoder();
    this.reset();
  }

  reset() {
    this.history = [];
    this.lines = this.blank();
    this.other = null;
    this.x = 0;
    this.y = 0;
    this.top = 0;
    this.bottom = this.rows - 1;
    this.look = PLAIN;
    this.saved = { x: 0, y: 0, look: PLAIN };
    this.wraps = true;
    this.isPending = false;
    this.showsCursor = true;
    this.sendsApplicationKeys = false;
    this.marksPaste = false;
    this.draws = false;
    this.title = '';
    this.state = 'text';
    this.sequence = '';
    this.last = ' ';
  }

  blank() {
    return Array.from({ length: this.rows }, () => this.blankLine());
  }

  blankLine() {
    return Array.from({ length: this.columns }, () => ({ text: ' ', look: { ...PLAIN, bg: this.look?.bg ?? null } }));
  }

  /** The text of the rows, without what is blank at their ends. */
  text() {
    return this.lines.map((line) => line.map((cell) => cell.text).join('').trimEnd());
  }

  resize(columns, rows) {
    const fit = (lines) => {
      for (const line of lines) {
        while (line.length < columns) line.push({ text: ' ', look: PLAIN });
        line.length = columns;
      }
      while (lines.length < rows) lines.push(Array.from({ length: columns }, () => ({ text: ' ', look: PLAIN })));
      return lines;
    };
    // What no longer fits leaves at the top, as long as the cursor stays.
    while (this.lines.length > rows && this.y >= rows) {
      this.keep(this.lines.shift());
      this.y -= 1;
    }
    this.lines.length = Math.min(this.lines.length, rows);
    this.columns = columns;
    this.rows = rows;
    fit(this.lines);
    if (this.other) {
      this.other.length = Math.min(this.other.length, rows);
      fit(this.other);
    }
    this.top = 0;
    this.bottom = rows - 1;
    this.place(this.x, this.y);
  }

  /** Shows bytes; a character or a sequence may be divided between two calls. */
  write(bytes) {
    for (const character of this.decoder.decode(bytes, { stream: true })) this.step(character);
  }

  step(character) {
    const code = character.codePointAt(0);
    if (this.state === 'string') {
      if (character === '\x07') this.endString();
      else if (character === '\x1b') this.state = 'string-escape';
      else if (this.sequence.length < 4096) this.sequence += character;
      return;
    }
    if (this.state === 'string-escape') {
      this.endString();
      if (character !== '\\') {
        this.state = 'escape';
        this.step(character);
      }
      return;
    }
    if (code < 0x20 || code === 0x7f) return this.control(character);
    if (this.state === 'escape') return this.escape(character);
    if (this.state === 'charset') {
      if (this.sequence === '(') this.draws = character === '0';
      this.state = 'text';
      return;
    }
    if (this.state === 'control') {
      if (code >= 0x40 && code <= 0x7e) {
        this.state = 'text';
        this.obey(this.sequence, character);
      } else if (this.sequence.length < 256) this.sequence += character;
      return;
    }
    this.print(character);
  }

  control(character) {
    switch (character) {
      case '\x1b': this.state = 'escape'; this.sequence = ''; break;
      case '\x18': case '\x1a': this.state = 'text'; break;
      case '\b': this.place(this.x - 1, this.y); break;
      case '\t': this.place(Math.min((Math.floor(this.x / 8) + 1) * 8, this.columns - 1), this.y); break;
      case '\n': case '\v': case '\f': this.feed(); break;
      case '\r': this.place(0, this.y); break;
      case '\x0e': this.draws = true; break;
      case '\x0f': this.draws = false; break;
      default:
    }
  }

  escape(character) {
    this.state = 'text';
    switch (character) {
      case '[': this.state = 'control'; this.sequence = ''; break;
      case ']': case 'P': case 'X': case '^': case '_': this.state = 'string'; this.sequence = character; break;
      case '(': case ')': case '*': case '+': case '#': case '%': case ' ':
        this.state = 'charset'; this.sequence = character; break;
      case '7': this.saved = { x: this.x, y: this.y, look: this.look }; break;
      case '8': this.look = this.saved.look; this.place(this.saved.x, this.saved.y); break;
      case 'D': this.feed(); break;
      case 'E': this.place(0, this.y); this.feed(); break;
      case 'M': this.y === this.top ? this.scroll(-1, this.top) : this.place(this.x, this.y - 1); break;
      case 'c': this.reset(); break;
      default:
    }
  }

  endString() {
    this.state = 'text';
    const title = /^\][02];(.*)$/s.exec(this.sequence);
    if (title) this.title = title[1].slice(0, 200);
    this.sequence = '';
  }

  print(character) {
    const shown = this.draws && character >= '`' && character <= '~' ? DRAWING[character.charCodeAt(0) - 96] : character;
    const size = width(shown);
    if (size === 0) {
      const before = this.lines[this.y][Math.max(0, this.isPending ? this.x : this.x - 1)];
      if (before.text.length < 16) before.text += shown;
      return;
    }
    if (this.isPending || this.x + size > this.columns) {
      if (this.wraps) {
        this.place(0, this.y);
        this.feed();
      } else this.place(Math.max(0, this.columns - size), this.y);
    }
    this.lines[this.y][this.x] = { text: shown, look: this.look };
    if (size === 2 && this.x + 1 < this.columns) this.lines[this.y][this.x + 1] = { text: '', look: this.look };
    this.last = shown;
    const next = this.x + size;
    this.isPending = next >= this.columns;
    this.x = Math.min(next, this.columns - 1);
  }

  place(x, y) {
    this.isPending = false;
    this.x = Math.max(0, Math.min(this.columns - 1, x));
    this.y = Math.max(0, Math.min(this.rows - 1, y));
  }

  feed() {
    if (this.y === this.bottom) this.scroll(1, this.top);
    else this.place(this.x, this.y + 1);
    this.isPending = false;
  }

  /** Moves the lines from `from` to the end of the region up, or down when negative. */
  scroll(count, from) {
    for (let moved = 0; moved < Math.min(Math.abs(count), this.rows); moved += 1) {
      if (count > 0) {
        const [line] = this.lines.splice(from, 1);
        if (from === 0 && !this.other) this.keep(line);
        this.lines.splice(this.bottom, 0, this.blankLine());
      } else {
        this.lines.splice(this.bottom, 1);
        this.lines.splice(from, 0, this.blankLine());
      }
    }
  }

  keep(line) {
    this.history.push(line);
    if (this.history.length > KEPT_LINES) this.history.shift();
  }

  obey(parameters, letter) {
    const mark = /^[?>=<]/.test(parameters) ? parameters[0] : '';
    const numbers = parameters.slice(mark.length).split(';').map((part) => parseInt(part, 10) || 0);
    const first = numbers[0];
    const count = Math.max(1, Math.min(first, 65535));
    if (mark === '?' && (letter === 'h' || letter === 'l')) return numbers.forEach((mode) => this.mode(mode, letter === 'h'));
    if (letter === 'n' && mark === '') {
      if (first === 6) this.reply(`\x1b[${this.y + 1};${this.x + 1}R`);
      if (first === 5) this.reply('\x1b[0n');
      return undefined;
    }
    if (letter === 'c') {
      if (first === 0) this.reply(mark === '>' ? '\x1b[>0;0;0c' : '\x1b[?1;2c');
      return undefined;
    }
    // An intermediate byte makes another sequence of it, such as the shape of the cursor.
    if (mark !== '' || /[ -/]$/.test(parameters)) return undefined;
    return this.act(letter, numbers, count);
  }

  act(letter, numbers, count) {
    const first = numbers[0];
    const line = this.lines[this.y];
    const isInside = this.y >= this.top && this.y <= this.bottom;
    const empty = () => ({ text: ' ', look: { ...PLAIN, bg: this.look.bg } });
    switch (letter) {
      case 'A': this.place(this.x, Math.max(this.y - count, this.y >= this.top ? this.top : 0)); break;
      case 'B': case 'e': this.place(this.x, Math.min(this.y + count, this.y <= this.bottom ? this.bottom : this.rows)); break;
      case 'C': case 'a': this.place(this.x + count, this.y); break;
      case 'D': this.place(this.x - count, this.y); break;
      case 'E': this.place(0, this.y + count); break;
      case 'F': this.place(0, this.y - count); break;
      case 'G': case '`': this.place(count - 1, this.y); break;
      case 'd': this.place(this.x, count - 1); break;
      case 'H': case 'f': this.place(Math.max(1, numbers[1] ?? 1) - 1, count - 1); break;
      case 'J': this.erase(first); break;
      case 'K': this.eraseLine(first); break;
      case 'L': if (isInside) this.scroll(-count, this.y); break;
      case 'M': if (isInside) this.scrollFrom(count); break;
      case 'S': this.scroll(count, this.top); break;
      case 'T': this.scroll(-count, this.top); break;
      case 'P': line.splice(this.x, count); while (line.length < this.columns) line.push(empty()); break;
      case '@':
        for (let added = Math.min(count, this.columns); added > 0; added -= 1) line.splice(this.x, 0, empty());
        line.length = this.columns;
        break;
      case 'X': for (let x = this.x; x < Math.min(this.x + count, this.columns); x += 1) line[x] = empty(); break;
      case 'b': for (let left = Math.min(count, this.columns * this.rows); left > 0; left -= 1) this.print(this.last); break;
      case 'm': this.dress(numbers); break;
      case 'r': this.region(first, numbers[1] ?? 0); break;
      case 's': this.saved = { x: this.x, y: this.y, look: this.look }; break;
      case 'u': this.place(this.saved.x, this.saved.y); break;
      default:
    }
  }

  scrollFrom(count) {
    const isKept = this.other;
    // Deleted lines are not history.
    this.other = this.other ?? [];
    this.scroll(count, this.y);
    this.other = isKept;
  }

  region(first, last) {
    const top = Math.max(1, first) - 1;
    const bottom = Math.min(last || this.rows, this.rows) - 1;
    if (top < bottom) {
      this.top = top;
      this.bottom = bottom;
      this.place(0, 0);
    }
  }

  erase(how) {
    if (how === 0) this.eraseLine(0);
    if (how === 1) this.eraseLine(1);
    const [from, to] = how === 0 ? [this.y + 1, this.rows] : how === 1 ? [0, this.y] : [0, this.rows];
    for (let y = from; y < to; y += 1) this.lines[y] = this.blankLine();
    if (how === 3) this.history = [];
  }

  eraseLine(how) {
    const [from, to] = how === 0 ? [this.x, this.columns] : how === 1 ? [0, this.x + 1] : [0, this.columns];
    for (let x = from; x < to; x += 1) this.lines[this.y][x] = { text: ' ', look: { ...PLAIN, bg: this.look.bg } };
  }

  mode(mode, isOn) {
    switch (mode) {
      case 1: this.sendsApplicationKeys = isOn; break;
      case 7: this.wraps = isOn; break;
      case 25: this.showsCursor = isOn; break;
      case 2004: this.marksPaste = isOn; break;
      case 47: case 1047: case 1049:
        if (isOn === Boolean(this.other)) break;
        if (isOn) {
          this.saved = { x: this.x, y: this.y, look: this.look };
          this.other = this.lines;
          this.lines = this.blank();
        } else {
          this.lines = this.other;
          this.other = null;
          this.look = this.saved.look;
          this.place(this.saved.x, this.saved.y);
        }
        this.top = 0;
        this.bottom = this.rows - 1;
        break;
      default:
    }
  }

  dress(numbers) {
    const rest = [...numbers];
    let { fg, bg, flags } = this.look;
    const set = new Set(flags ? flags.split(' ') : []);
    const extended = () => {
      const kind = rest.shift();
      if (kind === 5) return colour(Math.min(255, rest.shift() ?? 0));
      if (kind === 2) return `rgb(${rest.splice(0, 3).map((part) => Math.min(255, part)).join(',')})`;
      return null;
    };
    while (rest.length > 0) {
      const number = rest.shift();
      if (number === 0) { fg = null; bg = null; set.clear(); }
      else if (number === 1) set.add('bold');
      else if (number === 2) set.add('faint');
      else if (number === 3) set.add('italic');
      else if (number === 4) set.add('underline');
      else if (number === 7) set.add('inverse');
      else if (number === 22) { set.delete('bold'); set.delete('faint'); }
      else if (number === 23) set.delete('italic');
      else if (number === 24) set.delete('underline');
      else if (number === 27) set.delete('inverse');
      else if (number >= 30 && number <= 37) fg = colour(number - 30);
      else if (number === 38) fg = extended();
      else if (number === 39) fg = null;
      else if (number >= 40 && number <= 47) bg = colour(number - 40);
      else if (number === 48) bg = extended();
      else if (number === 49) bg = null;
      else if (number >= 90 && number <= 97) fg = colour(number - 82);
      else if (number >= 100 && number <= 107) bg = colour(number - 92);
    }
    this.look = Object.freeze({ fg, bg, flags: [...set].join(' ') });
  }
}
