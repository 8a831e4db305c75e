// What an analyzer in AssemblyScript needs: rows, settings and findings, over
// the system calls of WASI and nothing else. Copy this file into your project.
//
//   import { Finding, Rule, Run, Subject, at, main, text } from "./casefile";
//
//   function stuck(run: Run): void {
//     const pods = run.rows("pods");
//     while (pods.next()) {
//       const p = pods.row;
//       if (p.text("status.phase") != "Pending") continue;
//       const f = new Finding(new Subject("Pod", p.text("metadata.namespace"), p.text("metadata.name")));
//       f.params.set("pod", text(f.subject.name));
//       f.evidence.push(at(p.int("_at")));
//       run.find(f);
//     }
//   }
//
//   main(declaration, [new Rule("mine/stuck", ["pods"], stuck)]);
//
// Compile with --exportStart _start --use abort=PATH/casefile/abort (the path
// as the compiler sees it, without .ts): what the compiler puts in then stops
// the module with a line in its log, and imports nothing but WASI.
//
// A rule that found nothing is clear, unless one of the inputs that it needs
// is incomplete or could not be read, or it called Run.unknown: then it is
// unknown, and says why. Nothing here trusts a length that it reads.

// ---- the system ----

@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, size: usize): i32;
@external("wasi_snapshot_preview1", "args_get")
declare function args_get(pointers: usize, text: usize): i32;
@external("wasi_snapshot_preview1", "fd_prestat_get")
declare function fd_prestat_get(fd: i32, stat: usize): i32;
@external("wasi_snapshot_preview1", "path_open")
declare function path_open(dir: i32, follow: i32, path: usize, size: usize, create: i32, rights: i64, inherit: i64, flags: i32, fd: usize): i32;
@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: i32, vectors: usize, count: usize, read: usize): i32;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, vectors: usize, count: usize, written: usize): i32;
@external("wasi_snapshot_preview1", "fd_close")
declare function fd_close(fd: i32): i32;
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(code: i32): void;

const NO_ENTRY = 44; // errno
const ROOT = 3; // the one folder that a host opens, /

// scratch is where system calls put their small answers: a vector (8 bytes),
// a count (4), a file (4).
const scratch = memory.data(16);

function write(fd: i32, s: string): void {
  const b = String.UTF8.encode(s, false, String.UTF8.ErrorMode.REPLACE);
  let p = changetype<usize>(b), left = <usize>b.byteLength;
  while (left > 0) {
    store<usize>(scratch, p);
    store<usize>(scratch, left, 4);
    if (fd_write(fd, scratch, 1, scratch + 8) != 0) proc_exit(1);
    const n = load<usize>(scratch, 8);
    p += n;
    left -= n;
  }
}

// log writes to the module's log, which the host caps.
export function log(line: string): void {
  write(2, line + "\n");
}

// abort is what the compiler calls when the module must stop.
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  log((message ? message : "stopped") + " at " + (file ? file : "?") + ":" + line.toString() + ":" + column.toString());
  proc_exit(1);
}

function verb(): string {
  args_sizes_get(scratch, scratch + 4);
  const count = load<usize>(scratch), size = load<usize>(scratch, 4);
  if (count < 2) return "";
  const pointers = new StaticArray<usize>(<i32>count), bytes = new StaticArray<u8>(<i32>size);
  args_get(changetype<usize>(pointers), changetype<usize>(bytes));
  const p = pointers[1];
  let n: usize = 0;
  while (load<u8>(p + n) != 0) n++;
  return String.UTF8.decodeUnsafe(p, n);
}

const BUFFER = 256 << 10;
const MAX_ROW = 32 << 20;
const MAX_FILE = 64 << 20;

// Input is a file that is read from its start to its end.
class Input {
  fd: i32 = -1;
  errno: i32 = 0;
  private buffer: StaticArray<u8> = new StaticArray<u8>(0);
  private from: i32 = 0;
  private to: i32 = 0;

  constructor(path: string) {
    const name = String.UTF8.encode(path.substring(1));
    this.errno = fd_prestat_get(ROOT, scratch);
    if (this.errno == 0) this.errno = path_open(ROOT, 1, changetype<usize>(name), name.byteLength, 0, 2, 0, 0, scratch + 12);
    if (this.errno == 0) {
      this.fd = load<i32>(scratch, 12);
      this.buffer = new StaticArray<u8>(BUFFER);
    }
  }

  // fill reads what comes next into the buffer; false at the end.
  private fill(): bool {
    if (this.fd < 0) return false;
    store<usize>(scratch, changetype<usize>(this.buffer));
    store<usize>(scratch, BUFFER, 4);
    this.errno = fd_read(this.fd, scratch, 1, scratch + 8);
    this.from = 0;
    this.to = this.errno == 0 ? load<i32>(scratch, 8) : 0;
    return this.to > 0;
  }

  // byte is the next byte, or -1.
  byte(): i32 {
    if (this.from == this.to && !this.fill()) return -1;
    return unchecked(this.buffer[this.from++]);
  }

  // back gives the byte back that was read last.
  back(): void { this.from--; }

  // take reads n bytes; fewer at the end.
  take(n: i32): StaticArray<u8> {
    const parts = new StaticArray<u8>(n);
    let have = 0;
    while (have < n && (this.from < this.to || this.fill())) {
      const some = min(n - have, this.to - this.from);
      memory.copy(changetype<usize>(parts) + have, changetype<usize>(this.buffer) + this.from, some);
      this.from += some;
      have += some;
    }
    return have == n ? parts : StaticArray.fromArray(parts.slice<Array<u8>>(0, have));
  }

  // until reads up to an end of line, which it leaves out, or the end.
  until(limit: i32, eol: bool): StaticArray<u8> {
    let line = new StaticArray<u8>(1024), n = 0;
    for (let c = this.byte(); c >= 0 && !(eol && c == 10) && n < limit; c = this.byte()) {
      if (n == line.length) {
        const more = new StaticArray<u8>(2 * n);
        memory.copy(changetype<usize>(more), changetype<usize>(line), n);
        line = more;
      }
      unchecked(line[n++] = <u8>c);
    }
    return StaticArray.fromArray(line.slice<Array<u8>>(0, n));
  }

  close(): void {
    if (this.fd >= 0) fd_close(this.fd);
    this.fd = -1;
    this.buffer = new StaticArray<u8>(0);
  }
}

// ---- values ----

export enum Kind { Null, Bool, Int, Float, Text, List, Object }

// Value is a value of a row, or of any JSON text.
export class Value {
  truth: bool = false;
  whole: i64 = 0;
  number: f64 = 0;
  string: string = "";
  items: Value[] = [];
  keys: string[] = [];

  constructor(public kind: Kind = Kind.Null) {}

  // key is the value of one key, which may hold dots.
  key(key: string): Value {
    const i = this.keys.indexOf(key);
    return i < 0 ? nothing : this.items[i];
  }

  // at is the value at a path, "metadata.name". What is absent is null: the
  // host leaves out what is zero.
  at(path: string): Value {
    let v: Value = this, from = 0;
    for (let dot = path.indexOf("."); dot >= 0; dot = path.indexOf(".", from)) {
      v = v.key(path.substring(from, dot));
      from = dot + 1;
    }
    return v.key(from ? path.substring(from) : path);
  }

  // The accessors give the zero of their type when the value is of another.
  text(path: string): string { return this.at(path).string; }
  int(path: string): i64 { return this.at(path).whole; }
  bool(path: string): bool { return this.at(path).truth; }
  list(path: string): Value[] {
    const v = this.at(path);
    return v.kind == Kind.List ? v.items : nothing.items;
  }
  float(path: string): f64 {
    const v = this.at(path);
    return v.kind == Kind.Int ? <f64>v.whole : v.number;
  }
}

const nothing = new Value();

// text, int, float and truth make values, for params.
export function text(s: string): Value {
  const v = new Value(Kind.Text);
  v.string = s;
  return v;
}
export function int(n: i64): Value {
  const v = new Value(Kind.Int);
  v.whole = n;
  return v;
}
export function float(n: f64): Value {
  const v = new Value(Kind.Float);
  v.number = n;
  return v;
}
export function truth(b: bool): Value {
  const v = new Value(Kind.Bool);
  v.truth = b;
  return v;
}

// compare orders texts by their bytes in UTF-8, as other languages do.
export function compare(a: string, b: string): i32 {
  for (let i = 0, n = min(a.length, b.length); i < n; i++) {
    const x = rank(a.charCodeAt(i)), y = rank(b.charCodeAt(i));
    if (x != y) return x < y ? -1 : 1;
  }
  return a.length - b.length;
}

// rank puts the halves of pairs behind all other characters.
function rank(c: i32): i32 {
  return c >= 0xe000 ? c - 0x800 : c >= 0xd800 ? c + 0x2000 : c;
}

// ---- reading ----

const CUT = "a row that is cut off";
const NO_JSON = "no JSON";

// Reader reads JSON and rows; the first thing that is wrong ends it.
class Reader {
  wrong: string = "";
  private i: i32 = 0;
  private depth: i32 = 0;

  constructor(private b: StaticArray<u8>, private end: i32 = b.length) {}

  get left(): i32 { return this.end - this.i; }

  fail(why: string): Value {
    if (!this.wrong.length) this.wrong = why;
    this.i = this.end;
    return nothing;
  }

  private peek(): i32 {
    for (; this.i < this.end; this.i++) {
      const c = unchecked(this.b[this.i]);
      if (c != 32 && c != 9 && c != 10 && c != 13) return c;
    }
    return -1;
  }

  // alone reads one JSON value and nothing after it.
  alone(): Value {
    const v = this.json();
    return this.peek() >= 0 ? this.fail(NO_JSON) : v;
  }

  private json(): Value {
    switch (this.peek()) {
      case 0x7b: return this.members(true);
      case 0x5b: return this.members(false);
      case 0x22: return text(this.quoted());
      case 0x74: return this.word("true", truth(true));
      case 0x66: return this.word("false", truth(false));
      case 0x6e: return this.word("null", nothing);
    }
    return this.numeral();
  }

  private word(word: string, v: Value): Value {
    for (let i = 0; i < word.length; i++)
      if (this.i >= this.end || <i32>this.b[this.i++] != word.charCodeAt(i)) return this.fail(NO_JSON);
    return v;
  }

  private members(object: bool): Value {
    const v = new Value(object ? Kind.Object : Kind.List), close = object ? 0x7d : 0x5d;
    this.i++;
    if (++this.depth > 100) return this.fail(NO_JSON);
    for (let c = this.peek(); c != close || v.items.length > 0;) {
      if (object) {
        if (c != 0x22) return this.fail(NO_JSON);
        v.keys.push(this.quoted());
        if (this.peek() != 0x3a) return this.fail(NO_JSON);
        this.i++;
      }
      v.items.push(this.json());
      c = this.peek();
      if (c == close) break;
      if (c != 0x2c) return this.fail(NO_JSON);
      this.i++;
      c = this.peek();
    }
    this.i++;
    this.depth--;
    return v;
  }

  private numeral(): Value {
    const from = this.i;
    let whole = true, n: u64 = 0, digits = 0;
    const minus = this.i < this.end && this.b[this.i] == 0x2d;
    if (minus) this.i++;
    for (; this.i < this.end; this.i++) {
      const c = this.b[this.i];
      if (c >= 0x30 && c <= 0x39) {
        n = 10 * n + (c - 0x30);
        digits++;
      } else if (c == 0x2e || (c | 32) == 0x65 || c == 0x2b || c == 0x2d) whole = false;
      else break;
    }
    if (!digits || this.i - from > 400) return this.fail(NO_JSON);
    if (whole && digits <= 19 && n <= <u64>i64.MAX_VALUE + (minus ? 1 : 0)) return int(minus ? -<i64>n : <i64>n);
    const f = parseFloat(this.utf8(from, this.i));
    return f == f ? float(f) : this.fail(NO_JSON);
  }

  private utf8(from: i32, to: i32): string {
    return String.UTF8.decodeUnsafe(changetype<usize>(this.b) + from, to - from);
  }

  private quoted(): string {
    let s = "", from = ++this.i;
    for (; this.i < this.end; this.i++) {
      const c = unchecked(this.b[this.i]);
      if (c == 0x22) return s + this.utf8(from, this.i++);
      if (c != 0x5c) continue;
      s += this.utf8(from, this.i) + this.escape();
      from = this.i + 1;
    }
    this.fail(NO_JSON);
    return "";
  }

  // escape reads an escape and stands on its last character.
  private escape(): string {
    const c = ++this.i < this.end ? <i32>this.b[this.i] : 0;
    if (c == 0x75) return this.unicode();
    const at = "\"\\/bfnrt".indexOf(String.fromCharCode(c));
    if (at < 0) this.fail(NO_JSON);
    return "\"\\/\b\f\n\r\t".charAt(at);
  }

  private unicode(): string {
    const high = this.hex(this.i + 1);
    if (high < 0) {
      this.fail(NO_JSON);
      return "";
    }
    this.i += 4;
    if (high >= 0xd800 && high < 0xdc00 && this.left > 6 && this.b[this.i + 1] == 0x5c && this.b[this.i + 2] == 0x75) {
      const low = this.hex(this.i + 3);
      if (low >= 0xdc00 && low < 0xe000) {
        this.i += 6;
        return String.fromCharCode(high, low);
      }
    }
    return String.fromCharCode(high >= 0xd800 && high < 0xe000 ? 0xfffd : high); // half a pair is no character
  }

  private hex(at: i32): i32 {
    if (at + 4 > this.end) return -1;
    let v = 0;
    for (let k = at; k < at + 4; k++) {
      const c = <i32>this.b[k], d = c >= 0x30 && c <= 0x39 ? c - 0x30 : (c | 32) >= 0x61 && (c | 32) <= 0x66 ? (c | 32) - 0x57 : -1;
      if (d < 0) return -1;
      v = v << 4 | d;
    }
    return v;
  }

  uvarint(): u64 {
    let v: u64 = 0;
    for (let shift: u64 = 0; shift < 64 && this.i < this.end; shift += 7) {
      const b = <u64>unchecked(this.b[this.i++]);
      if (shift == 63 && b > 1) break;
      v |= (b & 0x7f) << shift;
      if (b < 0x80) return v;
    }
    this.fail(CUT);
    return 0;
  }

  // length reads how many bytes, or items of a byte at least, follow.
  private length(): i32 {
    const n = this.uvarint();
    if (n <= <u64>this.left) return <i32>n;
    this.fail(CUT);
    return 0;
  }

  binary(s: Shape): Value {
    switch (this.i < this.end ? <i32>this.b[this.i++] : -1) {
      case 0: return nothing;
      case 1: return truth(false);
      case 2: return truth(true);
      case 3: {
        const u = this.uvarint();
        return int(<i64>(u >> 1) ^ -<i64>(u & 1));
      }
      case 4: {
        if (this.left < 8) break;
        this.i += 8;
        return float(load<f64>(changetype<usize>(this.b) + this.i - 8));
      }
      case 5: {
        const n = this.length();
        this.i += n;
        return text(this.utf8(this.i - n, this.i));
      }
      case 6: {
        const n = this.length(), r = new Reader(this.b, this.i + n);
        r.i = this.i;
        const v = r.alone();
        this.i += n;
        return r.wrong.length ? this.fail(r.wrong) : v;
      }
      case 7: return this.object(s);
      case 8: {
        const n = this.length(), v = new Value(Kind.List), elem = s.elem;
        if (!elem) break;
        for (let k = 0; k < n && !this.wrong.length; k++) v.items.push(this.binary(elem));
        return v;
      }
    }
    return this.fail("a value that is cut off or of an unknown kind");
  }

  private object(s: Shape): Value {
    const v = new Value(Kind.Object), bits = this.i, size = (s.keys.length + 7) / 8;
    if (this.left < size) return this.fail(CUT);
    this.i += size;
    for (let k = 0; k < s.keys.length && !this.wrong.length; k++)
      if (this.b[bits + k / 8] >> <u8>(k % 8) & 1) {
        v.keys.push(s.keys[k]);
        v.items.push(this.binary(s.of[k]));
      }
    return v;
  }
}

// Shape is what the objects and arrays of a row are made of.
class Shape {
  keys: string[] = [];
  of: Shape[] = [];
  elem: Shape | null = null;

  constructor(v: Value) {
    const keys = v.list("keys"), shapes = v.list("of"), elem = v.key("elem");
    for (let i = 0; i < keys.length && i < shapes.length; i++) {
      this.keys.push(keys[i].string);
      this.of.push(new Shape(shapes[i]));
    }
    if (elem.kind == Kind.Object) this.elem = new Shape(elem);
  }
}

// Rows is an input's rows, one after the other.
export class Rows {
  row: Value = nothing;
  private file: Input;
  private shape: Shape | null = null; // null for lines of JSON, where the host gave no .rows

  constructor(private run: Run, private name: string) {
    this.file = new Input("/in/" + name + ".rows");
    if (this.file.errno == NO_ENTRY) this.file = new Input("/in/" + name + ".ndjson"); // the index tells what it means when there is none
    else if (this.file.errno == 0) this.schema();
    if (this.file.errno != 0 && this.file.errno != NO_ENTRY) this.fail("errno " + this.file.errno.toString());
  }

  private schema(): void {
    const magic = this.file.take(8);
    if (String.UTF8.decodeUnsafe(changetype<usize>(magic), magic.length) != "CFROWS1\n") return this.fail("no rows of version 1");
    const b = this.frame();
    if (!b) return this.fail(CUT);
    const r = new Reader(b), v = r.alone();
    if (r.wrong.length) return this.fail(r.wrong);
    this.shape = new Shape(v);
  }

  // next says whether there is another row; it is in row.
  next(): bool {
    const shape = this.shape, b = shape ? this.frame() : this.line();
    if (!b) return false;
    const r = new Reader(b);
    this.row = shape ? r.binary(shape) : r.alone();
    if (!r.wrong.length && r.left > 0) r.fail("bytes after a row");
    if (r.wrong.length) {
      this.fail(r.wrong);
      return false;
    }
    const own = this.row.key(""); // of an input without fields
    if (own.kind == Kind.Object) {
      const all = new Value(Kind.Object);
      all.keys = this.row.keys.concat(own.keys);
      all.items = this.row.items.concat(own.items);
      this.row = all;
    }
    return true;
  }

  private fail(why: string): void {
    this.run.failed("input " + this.name + ": " + why);
    this.file.close();
  }

  // frame reads a length and as many bytes; null at the end.
  private frame(): StaticArray<u8> | null {
    const head = new StaticArray<u8>(10);
    let n = 0;
    for (let c = this.file.byte(); c >= 0; c = this.file.byte()) {
      head[n++] = <u8>c;
      if (c < 0x80 || n == 10) break;
    }
    if (!n) {
      if (this.file.errno != 0) this.fail("errno " + this.file.errno.toString());
      this.file.close();
      return null;
    }
    const r = new Reader(head, n), size = r.uvarint();
    if (r.wrong.length || size > <u64>MAX_ROW) {
      this.fail("a row that is cut off or too long");
      return null;
    }
    const b = this.file.take(<i32>size);
    if (<u64>b.length == size) return b;
    this.fail(CUT);
    return null;
  }

  // line reads a line that is not empty; null at the end.
  private line(): StaticArray<u8> | null {
    let c = this.file.byte();
    while (c == 10) c = this.file.byte();
    if (c < 0) {
      if (this.file.errno != 0 && this.file.errno != NO_ENTRY) this.fail("errno " + this.file.errno.toString());
      this.file.close();
      return null;
    }
    this.file.back();
    const b = this.file.until(MAX_ROW, true);
    if (b.length < MAX_ROW) return b;
    this.fail("a row that is too long");
    return null;
  }
}

// ---- findings ----

const MAX_FINDINGS = 10000;
const MAX_ALL_EVIDENCE = 100000;
const MAX_FACTS = 10000;
const MAX_EVIDENCE = 64;
const MAX_AFFECTED = 1000;
const MAX_REASON = 4000;

// Subject is an object that a finding is about.
export class Subject {
  constructor(public kind: string, public namespace: string, public name: string, public node: string = "", public uid: string = "") {}
}

// Evidence cites a row (at), or a place in a declared file (path with line or
// packet, from 1). delta counts if moved.
export class Evidence {
  path: string = "";
  value: string = "";
  line: i64 = 0;
  packet: i64 = 0;
  moved: bool = false;
  delta: i64 = 0;
  seconds: f64 = 0;
  constructor(public at: i64 = 0) {}
}

// at cites a row by its _at.
export function at(n: i64): Evidence { return new Evidence(n); }

// Finding is what a rule found; only the subject has to be there.
export class Finding {
  variant: string = "";
  severity: string = "";
  confidence: string = "";
  owner: string = "";
  peer: Subject | null = null;
  affected: Subject[] = [];
  firstSeen: string = "";
  lastSeen: string = "";
  params: Map<string, Value> = new Map<string, Value>();
  evidence: Evidence[] = [];
  constructor(public subject: Subject) {}
}

// Writer writes JSON; commas are its own business.
class Writer {
  private parts: string[] = [];
  private comma: bool = false;

  open(bracket: string): void { this.parts.push(bracket); this.comma = false; }
  close(bracket: string): void { this.parts.push(bracket); this.comma = true; }
  item(): void {
    if (this.comma) this.parts.push(",");
    this.comma = true;
  }
  name(key: string): void {
    this.item();
    this.quote(key);
    this.parts.push(":");
  }
  quote(s: string): void {
    let from = 0;
    this.parts.push("\"");
    for (let i = 0; i < s.length; i++) {
      const c = s.charCodeAt(i);
      if (c >= 32 && c != 0x22 && c != 0x5c) continue;
      this.parts.push(s.substring(from, i));
      this.parts.push(c >= 32 ? "\\" + s.charAt(i) : "\\u00" + (c < 16 ? "0" : "") + c.toString(16));
      from = i + 1;
    }
    this.parts.push(s.substring(from) + "\"");
  }
  text(key: string, s: string): void {
    if (s.length) {
      this.name(key);
      this.quote(s);
    }
  }
  int(key: string, n: i64): void {
    if (n) {
      this.name(key);
      this.parts.push(n.toString());
    }
  }
  value(v: Value): void {
    switch (v.kind) {
      case Kind.Bool: this.parts.push(v.truth ? "true" : "false"); return;
      case Kind.Int: this.parts.push(v.whole.toString()); return;
      case Kind.Text: this.quote(v.string); return;
      case Kind.List:
        this.open("[");
        for (let i = 0; i < v.items.length; i++) {
          this.item();
          this.value(v.items[i]);
        }
        this.close("]");
        return;
    }
    this.parts.push(v.kind == Kind.Float && isFinite(v.number) ? v.number.toString() : "null"); // JSON has no infinity
  }
  subject(s: Subject): void {
    this.open("{");
    this.text("kind", s.kind);
    this.text("namespace", s.namespace);
    this.text("name", s.name);
    this.text("node", s.node);
    this.text("uid", s.uid);
    this.close("}");
  }
  evidence(e: Evidence): void {
    this.open("{");
    this.int("at", e.at);
    this.text("path", e.path);
    this.int("line", e.line);
    this.int("packet", e.packet);
    this.text("value", e.value);
    if (e.moved) {
      this.name("delta");
      this.value(int(e.delta));
      this.name("seconds");
      this.value(float(e.seconds));
    }
    this.close("}");
  }
  // given writes what a finding or a fact ends with, and prints it.
  given(key: string, values: Map<string, Value>, evidence: Evidence[]): void {
    this.name(key);
    this.open("{");
    const keys = values.keys();
    for (let i = 0; i < keys.length; i++) {
      this.name(keys[i]);
      this.value(values.get(keys[i]));
    }
    this.close("}");
    this.name("evidence");
    this.open("[");
    for (let i = 0; i < evidence.length; i++) {
      this.item();
      this.evidence(evidence[i]);
    }
    this.close("]");
    this.close("}");
    this.print();
  }
  print(): void { write(1, this.parts.join("") + "\n"); }
}

// ---- a run ----

// Rule is an id that the declaration has, the inputs without which it cannot
// be clear, and what it does.
export class Rule {
  constructor(public id: string, public needs: string[], public run: (run: Run) => void) {}
}

// Room is what the module may still print.
class Room {
  findings: i32 = MAX_FINDINGS;
  evidence: i32 = MAX_ALL_EVIDENCE;
  facts: i32 = MAX_FACTS;
}

// Run is a rule's view of its inputs, and where it reports.
export class Run {
  private found: i32 = 0;
  private dropped: i32 = 0;
  private failure: string = "";
  private isUnknown: bool = false;
  private reason: string = "";
  private lacking: string[] = [];

  constructor(private rule: string, private config: Value, private room: Room) {}

  // rows streams an input.
  rows(name: string): Rows { return new Rows(this, name); }

  // setting is a setting that the user gave, or "".
  setting(name: string): string { return this.config.key("settings").key(name).string; }

  // time is when the bundle was made, RFC 3339.
  time(): string { return this.config.text("captureTime"); }

  // failed says that reading failed; the first reason stands.
  failed(why: string): void {
    if (!this.failure.length) this.failure = why;
  }

  // missing says why an input is incomplete; "" if it is whole.
  missing(name: string): string {
    const index = readJSON("/in/" + name + ".index");
    if (index.kind == Kind.Text) return name + ": " + index.string;
    if (index.bool("complete")) return "";
    const all = index.list("missing"), reasons: string[] = [];
    for (let i = 0; i < all.length && i < 3; i++) {
      const why = all[i].text("reason");
      reasons.push(all[i].text("source") + (why.length ? ": " + why : ""));
    }
    if (all.length > 3) reasons.push("and " + (all.length - 3).toString() + " more");
    return all.length ? reasons.join("; ") : "incomplete";
  }

  // files names the files of an input of files, below /bundle/.
  files(name: string): string[] {
    const index = readJSON("/in/" + name + ".index"), paths: string[] = [];
    if (index.kind == Kind.Text) this.failed("input " + name + ": " + index.string);
    const all = index.list("files");
    for (let i = 0; i < all.length; i++) paths.push(all[i].string);
    return paths;
  }

  // find reports a finding. Of evidence and affected objects the first 64 and
  // 1000 are kept.
  find(f: Finding): void {
    const evidence = min(f.evidence.length, MAX_EVIDENCE), affected = min(f.affected.length, MAX_AFFECTED);
    this.found++;
    if (!this.room.findings || this.room.evidence < evidence) {
      this.dropped++;
      return;
    }
    this.room.findings--;
    this.room.evidence -= evidence;
    const w = new Writer();
    w.open("{");
    w.text("rule", this.rule);
    w.text("variant", f.variant);
    w.text("severity", f.severity);
    w.text("confidence", f.confidence);
    w.text("owner", f.owner);
    w.name("subject");
    w.subject(f.subject);
    const peer = f.peer;
    if (peer) {
      w.name("peer");
      w.subject(peer);
    }
    if (affected > 0) {
      w.name("affected");
      w.open("[");
      for (let i = 0; i < affected; i++) {
        w.item();
        w.subject(f.affected[i]);
      }
      w.close("]");
    }
    w.text("firstSeen", f.firstSeen);
    w.text("lastSeen", f.lastSeen);
    w.given("params", f.params, f.evidence.slice(0, evidence));
  }

  // tell tells modules of scope cluster a fact of this node, a row of the keys
  // of value. The declaration has the scope node, and the fact.
  tell(fact: string, value: Map<string, Value>, evidence: Evidence[] = []): void {
    if (!this.room.facts || this.room.evidence < evidence.length || evidence.length > MAX_EVIDENCE) {
      this.failed("more facts, or evidence, than a module may print");
      return;
    }
    this.room.facts--;
    this.room.evidence -= evidence.length;
    const w = new Writer();
    w.open("{");
    w.text("fact", fact);
    w.given("value", value, evidence);
  }

  // unknown says that the rule could not tell, and for want of which inputs;
  // it counts only if the rule found nothing. The first reason stands.
  unknown(reason: string, inputs: string[] = []): void {
    if (this.isUnknown) return;
    this.isUnknown = true;
    this.reason = reason;
    this.lacking = inputs;
  }

  // conclude prints the outcome of the rule, after it has run.
  conclude(needs: string[]): void {
    let outcome = "found", reason = this.failure;
    const lacking: string[] = [];
    if (this.found > 0) {
      if (this.dropped > 0) {
        reason += (reason.length ? "; " : "") + this.dropped.toString() + " more findings were left out: a module may report " + MAX_FINDINGS.toString();
      }
    } else {
      outcome = this.failure.length || this.isUnknown ? "unknown" : "clear";
      const reasons: string[] = [];
      addNew(reasons, this.reason);
      for (let i = 0; i < this.lacking.length; i++) addNew(lacking, this.lacking[i]);
      for (let i = 0; i < needs.length; i++) {
        const why = this.missing(needs[i]);
        if (!why.length) continue;
        outcome = "unknown";
        addNew(lacking, needs[i]);
        addNew(reasons, why);
      }
      if (!reason.length) reason = reasons.join("; ");
    }
    const w = new Writer();
    w.open("{");
    w.text("rule", this.rule);
    w.text("outcome", outcome);
    w.text("reason", cut(reason, MAX_REASON));
    if (lacking.length) {
      w.name("missing");
      w.open("[");
      for (let i = 0; i < lacking.length; i++) {
        w.item();
        w.quote(lacking[i]);
      }
      w.close("]");
    }
    w.close("}");
    w.print();
  }
}

function addNew(list: string[], s: string): void {
  if (s.length && !list.includes(s)) list.push(s);
}

// cut is s up to n bytes of UTF-8, without half a character at its end.
function cut(s: string, n: i32): string {
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c >= 0xdc00 && c < 0xe000) continue; // counted with its first half
    n -= c < 0x80 ? 1 : c < 0x800 ? 2 : c >= 0xd800 && c < 0xdc00 ? 4 : 3;
    if (n < 0) return s.substring(0, i);
  }
  return s;
}

// readJSON reads a file; a text is what is wrong with it.
function readJSON(path: string): Value {
  const file = new Input(path);
  if (file.errno != 0) return text(file.errno == NO_ENTRY ? "not there" : "errno " + file.errno.toString());
  const b = file.until(MAX_FILE, false), r = new Reader(b), v = r.alone();
  file.close();
  if (b.length == MAX_FILE) return text("it is too long");
  return r.wrong.length ? text(r.wrong) : v;
}

// main does what argv[1] says; call it at the end of the module.
export function main(declaration: string, rules: Rule[]): void {
  const what = verb();
  if (what == "describe") {
    write(1, declaration + "\n");
    return;
  }
  if (what != "analyze") {
    log("want the argument describe or analyze");
    proc_exit(1);
  }
  const config = readJSON("/config.json"), room = new Room();
  if (config.kind == Kind.Text && config.string != "not there") {
    log("config.json: " + config.string);
    proc_exit(1);
  }
  for (let i = 0; i < rules.length; i++) {
    const run = new Run(rules[i].id, config, room);
    rules[i].run(run);
    run.conclude(rules[i].needs);
  }
}
