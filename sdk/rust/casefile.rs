//! What an analyzer in Rust needs beyond the standard library: rows, settings,
//! and findings. Copy this file into your project; there is no crate to fetch.
//!
//! ```ignore
//! mod casefile;
//! use casefile::{Error, Finding, Rule, Run, Subject};
//!
//! fn stuck(run: &mut Run) -> Result<(), Error> {
//!     let mut pods = run.rows("pods")?;
//!     while let Some(p) = pods.next()? {
//!         if p.text("status.phase") == "Pending" {
//!             run.find(Finding {
//!                 subject: Subject::new("Pod", p.text("metadata.namespace"), p.text("metadata.name")),
//!                 params: vec![("pod", p.text("metadata.name").into())],
//!                 evidence: vec![casefile::at(p.int("_at"))],
//!                 ..Finding::default()
//!             });
//!         }
//!     }
//!     Ok(())
//! }
//!
//! fn main() {
//!     casefile::main(include_str!("declaration.json"), &[Rule { id: "mine/stuck", needs: &["pods"], run: stuck }]);
//! }
//! ```
//!
//! A rule that found nothing is clear, unless one of the inputs that it needs
//! is incomplete, it returned an error, or it called [`Run::unknown`]: then it
//! is unknown, and says why. Nothing here trusts a length that it reads.
#![allow(dead_code)] // a module uses what it needs

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

// ---- values ----

/// A value of a row, or of any JSON text.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

const NULL: &Value<'static> = &Value::Null;

impl<'a> Value<'a> {
    /// The value of one key, which may hold dots.
    pub fn key(&self, key: &str) -> &Value<'a> {
        match self {
            Value::Object(members) => members.iter().find(|(k, _)| k == key).map_or(NULL, |(_, v)| v),
            _ => NULL,
        }
    }

    /// The value at a path, "metadata.name". What is absent is null: the host
    /// leaves out what is zero.
    pub fn at(&self, path: &str) -> &Value<'a> {
        path.split('.').fold(self, |v, key| v.key(key))
    }

    /// The accessors give the zero of their type when the value is of another.
    pub fn text(&self, path: &str) -> &str {
        match self.at(path) {
            Value::Text(s) => s,
            _ => "",
        }
    }

    pub fn int(&self, path: &str) -> i64 {
        match self.at(path) {
            Value::Int(n) => *n,
            _ => 0,
        }
    }

    pub fn float(&self, path: &str) -> f64 {
        match self.at(path) {
            Value::Float(n) => *n,
            Value::Int(n) => *n as f64,
            _ => 0.0,
        }
    }

    pub fn bool(&self, path: &str) -> bool {
        *self.at(path) == Value::Bool(true)
    }

    pub fn list(&self, path: &str) -> &[Value<'a>] {
        match self.at(path) {
            Value::List(items) => items,
            _ => &[],
        }
    }
}

impl From<i64> for Value<'static> {
    fn from(n: i64) -> Self {
        Value::Int(n)
    }
}
impl From<usize> for Value<'static> {
    fn from(n: usize) -> Self {
        Value::Int(n as i64)
    }
}
impl From<f64> for Value<'static> {
    fn from(n: f64) -> Self {
        Value::Float(n)
    }
}
impl From<bool> for Value<'static> {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}
impl From<&str> for Value<'static> {
    fn from(s: &str) -> Self {
        Value::Text(Cow::Owned(s.to_string()))
    }
}
impl From<String> for Value<'static> {
    fn from(s: String) -> Self {
        Value::Text(Cow::Owned(s))
    }
}

/// What went wrong, in words for the reason of an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Error(pub String);

fn error<T>(what: &str) -> Result<T, Error> {
    Err(Error(what.to_string()))
}

// ---- reading ----

struct Reader<'a> {
    b: &'a [u8],
    i: usize,
    depth: u32,
}

/// Reads one JSON value and nothing after it.
pub fn parse(text: &[u8]) -> Result<Value<'_>, Error> {
    let mut r = Reader { b: text, i: 0, depth: 0 };
    let v = r.json()?;
    match r.peek() {
        None => Ok(v),
        Some(_) => error("JSON: more than one value"),
    }
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.b.get(self.i), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.i += 1;
        }
        self.b.get(self.i).copied()
    }

    fn json(&mut self) -> Result<Value<'a>, Error> {
        match self.peek() {
            Some(b'{') => self.nested(|r| r.object()),
            Some(b'[') => self.nested(|r| r.array()),
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn nested(&mut self, read: impl Fn(&mut Self) -> Result<Value<'a>, Error>) -> Result<Value<'a>, Error> {
        self.i += 1;
        self.depth += 1;
        if self.depth > 100 {
            return error("JSON: nested too deeply");
        }
        let v = read(self)?;
        self.depth -= 1;
        Ok(v)
    }

    fn object(&mut self) -> Result<Value<'a>, Error> {
        let mut members = Vec::new();
        while self.more(b'}', members.is_empty())? {
            if self.peek() != Some(b'"') {
                return error("JSON: no key");
            }
            let key = self.string()?;
            if self.peek() != Some(b':') {
                return error("JSON: no colon");
            }
            self.i += 1;
            members.push((key, self.json()?));
        }
        Ok(Value::Object(members))
    }

    fn array(&mut self) -> Result<Value<'a>, Error> {
        let mut items = Vec::new();
        while self.more(b']', items.is_empty())? {
            items.push(self.json()?);
        }
        Ok(Value::List(items))
    }

    /// Whether another item follows; steps over the comma or the bracket.
    fn more(&mut self, close: u8, first: bool) -> Result<bool, Error> {
        match self.peek() {
            Some(c) if c == close => {
                self.i += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.i += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => error("JSON: no comma"),
        }
    }

    fn word(&mut self, word: &str, v: Value<'a>) -> Result<Value<'a>, Error> {
        if !self.b[self.i..].starts_with(word.as_bytes()) {
            return error("JSON: an unknown word");
        }
        self.i += word.len();
        Ok(v)
    }

    fn number(&mut self) -> Result<Value<'a>, Error> {
        let start = self.i;
        while matches!(self.b.get(self.i), Some(b'+' | b'-' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.i += 1;
        }
        let text = std::str::from_utf8(&self.b[start..self.i]).unwrap_or("");
        if let Ok(n) = text.parse() {
            return Ok(Value::Int(n));
        }
        text.parse().map(Value::Float).or_else(|_| error("JSON: no value"))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.i += 1;
        let start = self.i;
        let mut owned: Option<String> = None;
        let mut from = start;
        loop {
            match self.b.get(self.i) {
                None => return error("JSON: a text without end"),
                Some(b'"') => {
                    let rest = text_of(&self.b[from..self.i])?;
                    self.i += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(rest),
                        Some(s) => Cow::Owned(s + rest),
                    });
                }
                Some(b'\\') => {
                    let s = owned.get_or_insert_with(String::new);
                    s.push_str(text_of(&self.b[from..self.i])?);
                    self.i += 1;
                    let c = self.escape()?;
                    owned.get_or_insert_with(String::new).push(c);
                    from = self.i;
                }
                Some(_) => self.i += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let c = self.b.get(self.i).copied();
        self.i += 1;
        Ok(match c {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.hex()?;
                let back = self.i;
                if (0xd800..0xdc00).contains(&high) && self.b[self.i..].starts_with(b"\\u") {
                    self.i += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        return Ok(char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}'));
                    }
                    self.i = back;
                }
                char::from_u32(high).unwrap_or('\u{fffd}') // half a pair is no character
            }
            _ => return error("JSON: a bad escape"),
        })
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let digits = self.b.get(self.i..self.i + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let text = digits.and_then(|d| std::str::from_utf8(d).ok());
        self.i += 4;
        text.and_then(|t| u32::from_str_radix(t, 16).ok()).map_or_else(|| error("JSON: a bad escape"), Ok)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let b = self.b.get(self.i).copied();
        self.i += 1;
        b.map_or_else(|| error("a row that is cut off"), Ok)
    }

    fn uvarint(&mut self) -> Result<u64, Error> {
        let mut v = 0;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            if shift == 63 && b > 1 {
                break;
            }
            v |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(v);
            }
        }
        error("a number of more than 64 bits")
    }

    fn bytes(&mut self, n: u64) -> Result<&'a [u8], Error> {
        if n > (self.b.len() - self.i) as u64 {
            return error("a row that is cut off");
        }
        self.i += n as usize;
        Ok(&self.b[self.i - n as usize..self.i])
    }

    fn binary(&mut self, shape: &'a Shape) -> Result<Value<'a>, Error> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => {
                let u = self.uvarint()?;
                Value::Int((u >> 1) as i64 ^ -((u & 1) as i64))
            }
            4 => {
                let mut b = [0; 8];
                b.copy_from_slice(self.bytes(8)?);
                Value::Float(f64::from_le_bytes(b))
            }
            5 => {
                let n = self.uvarint()?;
                Value::Text(Cow::Borrowed(text_of(self.bytes(n)?)?))
            }
            6 => {
                let n = self.uvarint()?;
                parse(self.bytes(n)?)?
            }
            7 if shape.elem.is_none() => {
                let bits = self.bytes((shape.keys.len() as u64 + 7) / 8)?;
                let mut members = Vec::with_capacity(shape.keys.len());
                for (k, (key, of)) in shape.keys.iter().enumerate() {
                    if bits[k / 8] >> (k % 8) & 1 == 1 {
                        members.push((Cow::Borrowed(key.as_str()), self.binary(of)?));
                    }
                }
                Value::Object(members)
            }
            8 => {
                let n = self.uvarint()?;
                let elem = match &shape.elem {
                    Some(elem) if n <= (self.b.len() - self.i) as u64 => elem,
                    _ => return error("a row that is cut off, or a list where none can be"),
                };
                (0..n).map(|_| self.binary(elem)).collect::<Result<_, _>>().map(Value::List)?
            }
            _ => return error("a value of an unknown kind"),
        })
    }
}

fn text_of(b: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(b).or_else(|_| error("a text that is not UTF-8"))
}

/// What the objects and arrays of a row are made of.
#[derive(Default)]
struct Shape {
    keys: Vec<(String, Shape)>,
    elem: Option<Box<Shape>>,
}

impl Shape {
    fn new(v: &Value) -> Result<Shape, Error> {
        let (keys, of) = (v.list("keys"), v.list("of"));
        if keys.len() != of.len() {
            return error("the schema is damaged");
        }
        let mut shape = Shape::default();
        for (k, s) in keys.iter().zip(of) {
            shape.keys.push((k.text_self().to_string(), Shape::new(s)?));
        }
        if let elem @ Value::Object(_) = v.key("elem") {
            shape.elem = Some(Box::new(Shape::new(elem)?));
        }
        Ok(shape)
    }
}

impl Value<'_> {
    /// An input without fields has its object under the key "".
    fn unfolded(self) -> Self {
        match self {
            Value::Object(mut members) => {
                if let Some((_, Value::Object(_))) = members.last().filter(|(k, _)| k.is_empty()) {
                    if let Some((_, Value::Object(own))) = members.pop() {
                        members.extend(own);
                    }
                }
                Value::Object(members)
            }
            v => v,
        }
    }

    fn text_self(&self) -> &str {
        match self {
            Value::Text(s) => s,
            _ => "",
        }
    }
}

const MAX_ROW: u64 = 32 << 20;

/// An input's rows, one after the other.
pub struct Rows {
    name: String,
    file: Option<BufReader<File>>,
    shape: Option<Shape>, // None for lines of JSON, where the host gave no .rows
    buffer: Vec<u8>,
}

impl Rows {
    fn open(name: &str) -> Result<Rows, Error> {
        let mut rows = Rows { name: name.to_string(), file: None, shape: None, buffer: Vec::new() };
        if let Some(file) = open(&format!("/in/{}.rows", name))? {
            let file = rows.file.insert(BufReader::with_capacity(256 << 10, file));
            let mut magic = [0; 8];
            if file.read_exact(&mut magic).is_err() || &magic != b"CFROWS1\n" {
                return error(&format!("input {}: no rows of version 1", name));
            }
            if !rows.frame()? {
                return error(&format!("input {}: the schema is cut off", name));
            }
            rows.shape = Some(Shape::new(&parse(&rows.buffer)?)?);
        } else if let Some(file) = open(&format!("/in/{}.ndjson", name))? {
            rows.file = Some(BufReader::with_capacity(256 << 10, file));
        } // the index tells what it means when there is none
        Ok(rows)
    }

    /// The next row, or None at the end; it lives until the one after it.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Value<'_>>, Error> {
        let there = if self.shape.is_some() { self.frame()? } else { self.line()? };
        if !there {
            return Ok(None);
        }
        let row = match &self.shape {
            None => parse(&self.buffer),
            Some(shape) => {
                let mut r = Reader { b: &self.buffer, i: 0, depth: 0 };
                let row = r.binary(shape);
                if row.is_ok() && r.i != self.buffer.len() {
                    return error(&format!("input {}: bytes after a row", self.name));
                }
                row
            }
        };
        match row {
            Ok(v) => Ok(Some(v.unfolded())),
            Err(Error(e)) => error(&format!("input {}: {}", self.name, e)),
        }
    }

    /// Reads a length and as many bytes.
    fn frame(&mut self) -> Result<bool, Error> {
        let (name, file) = match &mut self.file {
            None => return Ok(false),
            Some(file) => (&self.name, file),
        };
        let cut = |_| Error(format!("input {}: a row that is cut off", name));
        let mut head = Vec::with_capacity(10);
        loop {
            let mut b = [0];
            match file.read(&mut b).map_err(cut_off(name))? {
                0 if head.is_empty() => return Ok(false),
                0 => break,
                _ => head.push(b[0]),
            }
            if b[0] < 0x80 || head.len() == 10 {
                break;
            }
        }
        let n = Reader { b: &head, i: 0, depth: 0 }.uvarint().map_err(cut)?;
        if n > MAX_ROW {
            return error(&format!("input {}: a row of more than {} bytes", name, MAX_ROW));
        }
        self.buffer.clear();
        let got = file.take(n).read_to_end(&mut self.buffer).map_err(cut_off(name))?;
        if got as u64 != n {
            return error(&format!("input {}: a row that is cut off", name));
        }
        Ok(true)
    }

    fn line(&mut self) -> Result<bool, Error> {
        let (name, file) = match &mut self.file {
            None => return Ok(false),
            Some(file) => (&self.name, file),
        };
        loop {
            self.buffer.clear();
            let n = file.take(MAX_ROW).read_until(b'\n', &mut self.buffer).map_err(cut_off(name))?;
            if n as u64 == MAX_ROW {
                return error(&format!("input {}: a row of more than {} bytes", name, MAX_ROW));
            }
            if n == 0 || self.buffer != b"\n" {
                return Ok(n > 0);
            }
        }
    }
}

fn cut_off(name: &str) -> impl Fn(io::Error) -> Error + '_ {
    move |e| Error(format!("input {}: {}", name, e))
}

/// Opens a file; None where there is none.
fn open(path: &str) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(f) => Ok(Some(f)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => error(&format!("{}: {}", path, e)),
    }
}

fn read_file(path: &str) -> Result<Option<Vec<u8>>, Error> {
    const MAX: u64 = 64 << 20;
    let mut text = Vec::new();
    match open(path)? {
        None => return Ok(None),
        Some(f) => f.take(MAX).read_to_end(&mut text).map_err(|e| Error(format!("{}: {}", path, e)))?,
    };
    if text.len() as u64 == MAX {
        return error(&format!("{}: more than {} bytes", path, MAX));
    }
    Ok(Some(text))
}

// ---- findings ----

const MAX_FINDINGS: usize = 10_000;
const MAX_ALL_EVIDENCE: usize = 100_000;
const MAX_FACTS: usize = 10_000;
const MAX_EVIDENCE: usize = 64;
const MAX_AFFECTED: usize = 1000;
const MAX_REASON: usize = 4000;

/// An object that a finding is about.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub node: String,
    pub uid: String,
}

impl Subject {
    pub fn new(kind: &str, namespace: &str, name: &str) -> Subject {
        Subject { kind: kind.into(), namespace: namespace.into(), name: name.into(), ..Subject::default() }
    }
}

/// Cites a row (`at`), or a place in a declared file (`path` with `line` or
/// `packet`, from 1).
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub at: i64,
    pub path: String,
    pub line: i64,
    pub packet: i64,
    pub value: String,
    pub delta: Option<i64>,
    pub seconds: f64,
}

/// Cites a row by its `_at`.
pub fn at(n: i64) -> Evidence {
    Evidence { at: n, ..Evidence::default() }
}

/// What a rule found; only the subject has to be there.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    pub variant: String,
    pub severity: String,
    pub confidence: String,
    pub owner: String,
    pub subject: Subject,
    pub peer: Option<Subject>,
    pub affected: Vec<Subject>,
    pub first_seen: String,
    pub last_seen: String,
    pub params: Vec<(&'static str, Value<'static>)>,
    pub evidence: Vec<Evidence>,
}

/// Writes JSON; commas are its own business.
#[derive(Default)]
struct Writer {
    out: String,
    comma: bool,
}

impl Writer {
    fn open(&mut self, bracket: char) {
        self.out.push(bracket);
        self.comma = false;
    }
    fn close(&mut self, bracket: char) {
        self.out.push(bracket);
        self.comma = true;
    }
    fn item(&mut self) {
        if self.comma {
            self.out.push(',');
        }
        self.comma = true;
    }
    fn name(&mut self, key: &str) {
        self.item();
        self.quote(key);
        self.out.push(':');
    }
    fn quote(&mut self, s: &str) {
        self.out.push('"');
        for c in s.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                c if c < ' ' => _ = write!(self.out, "\\u{:04x}", c as u32),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
    fn text(&mut self, key: &str, s: &str) {
        if !s.is_empty() {
            self.name(key);
            self.quote(s);
        }
    }
    fn int(&mut self, key: &str, n: i64) {
        if n != 0 {
            self.name(key);
            _ = write!(self.out, "{}", n);
        }
    }
    fn value(&mut self, v: &Value) {
        match v {
            Value::Bool(b) => _ = write!(self.out, "{}", b),
            Value::Int(n) => _ = write!(self.out, "{}", n),
            Value::Float(n) if n.is_finite() => _ = write!(self.out, "{:e}", n),
            Value::Text(s) => self.quote(s),
            Value::List(items) => self.list(items, |w, v| w.value(v)),
            _ => self.out.push_str("null"), // and JSON has no infinity
        }
    }
    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Writer, &T)) {
        self.open('[');
        for i in items {
            self.item();
            write(self, i);
        }
        self.close(']');
    }
    fn members(&mut self, key: &str, members: &[(&'static str, Value)]) {
        self.name(key);
        self.open('{');
        for (key, v) in members {
            self.name(key);
            self.value(v);
        }
        self.close('}');
    }
    fn subject(&mut self, s: &Subject) {
        self.open('{');
        for (key, text) in [("kind", &s.kind), ("namespace", &s.namespace), ("name", &s.name), ("node", &s.node), ("uid", &s.uid)] {
            self.text(key, text);
        }
        self.close('}');
    }
    fn evidence(&mut self, e: &Evidence) {
        self.open('{');
        self.int("at", e.at);
        self.text("path", &e.path);
        self.int("line", e.line);
        self.int("packet", e.packet);
        self.text("value", &e.value);
        if let Some(n) = e.delta {
            self.name("delta");
            self.value(&Value::Int(n));
            self.name("seconds");
            self.value(&Value::Float(e.seconds));
        }
        self.close('}');
    }
    fn print(mut self) {
        self.out.push('\n');
        if io::stdout().write_all(self.out.as_bytes()).is_err() {
            std::process::exit(1);
        }
    }
}

// ---- a run ----

/// A rule: an id that the declaration has, the inputs without which it cannot
/// be clear, and what it does.
pub struct Rule {
    pub id: &'static str,
    pub needs: &'static [&'static str],
    pub run: fn(&mut Run) -> Result<(), Error>,
}

/// A rule's view of its inputs, and where it reports.
pub struct Run<'a> {
    rule: &'static str,
    config: &'a Value<'a>,
    room: &'a mut Room,
    found: usize,
    dropped: usize,
    unknown: Option<(String, Vec<String>)>,
}

/// What the module may still print.
struct Room {
    findings: usize,
    evidence: usize,
    facts: usize,
}

impl Run<'_> {
    /// Streams an input; read `next` until it gives None.
    pub fn rows(&self, name: &str) -> Result<Rows, Error> {
        Rows::open(name)
    }

    /// A setting that the user gave, or "".
    pub fn setting(&self, name: &str) -> &str {
        self.config.key("settings").key(name).text_self()
    }

    /// When the bundle was made, RFC 3339.
    pub fn time(&self) -> &str {
        self.config.text("captureTime")
    }

    /// Why an input is incomplete; None if it is whole.
    pub fn missing(&self, name: &str) -> Option<String> {
        let text = match read_file(&format!("/in/{}.index", name)) {
            Ok(Some(text)) => text,
            Ok(None) => return Some(format!("{}: not there", name)),
            Err(Error(e)) => return Some(format!("{}: {}", name, e)),
        };
        let index = match parse(&text) {
            Ok(index) => index,
            Err(Error(e)) => return Some(format!("{}: {}", name, e)),
        };
        if index.bool("complete") {
            return None;
        }
        let all = index.list("missing");
        let mut reasons: Vec<String> = all.iter().take(3).map(|m| [m.text("source"), m.text("reason")].join(": ").trim_end_matches(": ").to_string()).collect();
        if reasons.is_empty() {
            return Some("incomplete".to_string());
        }
        if all.len() > 3 {
            reasons.push(format!("and {} more", all.len() - 3));
        }
        Some(reasons.join("; "))
    }

    /// The paths of an input of files; open them below /bundle/.
    pub fn files(&self, name: &str) -> Result<Vec<String>, Error> {
        let text = read_file(&format!("/in/{}.index", name))?.unwrap_or_else(|| b"{}".to_vec());
        Ok(parse(&text)?.list("files").iter().map(|f| f.text_self().to_string()).collect())
    }

    /// Reports a finding. Of evidence and affected objects the first 64 and
    /// 1000 are kept.
    pub fn find(&mut self, f: Finding) {
        let evidence = &f.evidence[..f.evidence.len().min(MAX_EVIDENCE)];
        self.found += 1;
        if self.room.findings == 0 || self.room.evidence < evidence.len() {
            self.dropped += 1;
            return;
        }
        self.room.findings -= 1;
        self.room.evidence -= evidence.len();
        let mut w = Writer::default();
        w.open('{');
        w.text("rule", self.rule);
        w.text("variant", &f.variant);
        w.text("severity", &f.severity);
        w.text("confidence", &f.confidence);
        w.text("owner", &f.owner);
        w.name("subject");
        w.subject(&f.subject);
        if let Some(peer) = &f.peer {
            w.name("peer");
            w.subject(peer);
        }
        if !f.affected.is_empty() {
            w.name("affected");
            w.list(&f.affected[..f.affected.len().min(MAX_AFFECTED)], |w, s| w.subject(s));
        }
        w.text("firstSeen", &f.first_seen);
        w.text("lastSeen", &f.last_seen);
        w.members("params", &f.params);
        w.name("evidence");
        w.list(evidence, |w, e| w.evidence(e));
        w.close('}');
        w.print();
    }

    /// Tells modules of scope cluster a fact of this node, a row of the keys of
    /// `value`. The declaration has the scope node, and the fact.
    pub fn tell(&mut self, fact: &str, value: &[(&'static str, Value)], evidence: &[Evidence]) -> Result<(), Error> {
        if self.room.facts == 0 || self.room.evidence < evidence.len() || evidence.len() > MAX_EVIDENCE {
            return error("more facts, or evidence, than a module may print");
        }
        self.room.facts -= 1;
        self.room.evidence -= evidence.len();
        let mut w = Writer::default();
        w.open('{');
        w.text("fact", fact);
        w.members("value", value);
        w.name("evidence");
        w.list(evidence, |w, e| w.evidence(e));
        w.close('}');
        w.print();
        Ok(())
    }

    /// Says that the rule could not tell, and for want of which inputs; it
    /// counts only if the rule found nothing. The first reason stands.
    pub fn unknown(&mut self, reason: &str, inputs: &[&str]) {
        self.unknown.get_or_insert_with(|| (reason.to_string(), inputs.iter().map(|s| s.to_string()).collect()));
    }

    /// Prints the outcome of the rule, after it has run.
    fn conclude(self, needs: &[&str], result: Result<(), Error>) {
        let mut reason = result.as_ref().err().map_or(String::new(), |e| e.0.clone());
        let (mut outcome, mut missing) = ("found", Vec::new());
        if self.found > 0 {
            if self.dropped > 0 {
                let dropped = format!("{} more findings were left out: a module may report {}", self.dropped, MAX_FINDINGS);
                reason = if reason.is_empty() { dropped } else { reason + "; " + &dropped };
            }
        } else {
            outcome = if result.is_err() || self.unknown.is_some() { "unknown" } else { "clear" };
            let (first, lacking) = self.unknown.clone().unwrap_or_default();
            let mut reasons = vec![first];
            missing = lacking;
            for name in needs {
                if let Some(why) = self.missing(name) {
                    outcome = "unknown";
                    missing.push(name.to_string());
                    reasons.push(why);
                }
            }
            let (mut seen, mut named) = (HashSet::new(), HashSet::new());
            reasons.retain(|r| !r.is_empty() && seen.insert(r.clone()));
            missing.retain(|m| named.insert(m.clone()));
            if reason.is_empty() {
                reason = reasons.join("; ");
            }
        }
        let end = (0..=reason.len().min(MAX_REASON)).rev().find(|&i| reason.is_char_boundary(i)).unwrap_or(0);
        let mut w = Writer::default();
        w.open('{');
        w.text("rule", self.rule);
        w.text("outcome", outcome);
        w.text("reason", &reason[..end]);
        if !missing.is_empty() {
            w.name("missing");
            w.list(&missing, |w, m| w.quote(m));
        }
        w.close('}');
        w.print();
    }
}

/// A module's main: it does what argv\[1\] says.
pub fn main(declaration: &str, rules: &[Rule]) {
    if let Err(Error(e)) = serve(declaration, rules) {
        eprintln!("{}", e);
        std::process::exit(1);
    }
}

fn serve(declaration: &str, rules: &[Rule]) -> Result<(), Error> {
    match std::env::args().nth(1).as_deref() {
        Some("describe") => println!("{}", declaration),
        Some("analyze") => {
            let text = read_file("/config.json")?.unwrap_or_else(|| b"{}".to_vec());
            let config = parse(&text)?;
            let mut room = Room { findings: MAX_FINDINGS, evidence: MAX_ALL_EVIDENCE, facts: MAX_FACTS };
            for rule in rules {
                let mut run = Run { rule: rule.id, config: &config, room: &mut room, found: 0, dropped: 0, unknown: None };
                let result = (rule.run)(&mut run);
                run.conclude(rule.needs, result);
            }
        }
        _ => return error("want the argument describe or analyze"),
    }
    Ok(())
}
