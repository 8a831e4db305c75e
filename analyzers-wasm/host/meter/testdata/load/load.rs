// Reads what analyzers read, from stdin: pods as JSON lines, the text of
// /proc/net/tcp, or a pcap file. It prints sums.
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};

fn main() {
    let input = BufReader::with_capacity(1 << 20, io::stdin());
    match std::env::args().nth(1).as_deref() {
        Some("pods") => pods(input),
        Some("tcp") => tcp(input),
        Some("pcap") => pcap(input),
        _ => std::process::exit(2),
    }
}

#[derive(Default)]
struct Pods {
    restarts: u64,
    names: usize,
}

fn text(b: &[u8], mut i: usize) -> usize {
    i += 1;
    while b[i] != b'"' {
        i += if b[i] == b'\\' { 2 } else { 1 };
    }
    i + 1
}

impl Pods {
    fn value(&mut self, b: &[u8], mut i: usize) -> usize {
        match b[i] {
            b'{' => {
                i += 1;
                while b[i] != b'}' {
                    let end = text(b, i);
                    let key = &b[i + 1..end - 1];
                    i = end + 1;
                    if key == b"restartCount" {
                        let mut v = 0u64;
                        while b[i].is_ascii_digit() {
                            v = v * 10 + u64::from(b[i] - b'0');
                            i += 1;
                        }
                        self.restarts += v;
                    } else if key == b"name" {
                        let end = text(b, i);
                        self.names += end - i - 2;
                        i = end;
                    } else {
                        i = self.value(b, i);
                    }
                    if b[i] == b',' {
                        i += 1;
                    }
                }
                i + 1
            }
            b'[' => {
                i += 1;
                while b[i] != b']' {
                    i = self.value(b, i);
                    if b[i] == b',' {
                        i += 1;
                    }
                }
                i + 1
            }
            b'"' => text(b, i),
            _ => {
                while !matches!(b[i], b',' | b'}' | b']') {
                    i += 1;
                }
                i
            }
        }
    }
}

fn pods(mut input: impl BufRead) {
    let (mut sums, mut count, mut line) = (Pods::default(), 0, Vec::new());
    while input.read_until(b'\n', &mut line).unwrap() > 0 {
        sums.value(&line, 0);
        count += 1;
        line.clear();
    }
    println!("{} {} {}", count, sums.restarts, sums.names);
}

fn tcp(mut input: impl BufRead) {
    let (mut states, mut ports) = (HashMap::new(), HashMap::new());
    let (mut queued, mut line) = (0u64, Vec::new());
    while input.read_until(b'\n', &mut line).unwrap() > 0 {
        let mut f = [0u64; 5];
        let (mut k, mut v, mut fresh) = (0, 0u64, true);
        for &c in &line {
            match c {
                b'0'..=b'9' => {
                    v = v << 4 | u64::from(c - b'0');
                    fresh = false;
                }
                b'A'..=b'F' => {
                    v = v << 4 | u64::from(c - b'A' + 10);
                    fresh = false;
                }
                b' ' => {
                    if !fresh && k < f.len() {
                        f[k] = v;
                        k += 1;
                    }
                    v = 0;
                    fresh = true;
                }
                _ => {}
            }
        }
        *states.entry(f[3]).or_insert(0u32) += 1;
        *ports.entry(f[1] & 0xffff).or_insert(0u32) += 1;
        queued += f[4] & 0xffff_ffff;
        line.clear();
    }
    println!("{} {} {}", states.len(), ports.len(), queued);
}

fn be(b: &[u8]) -> u64 {
    b.iter().fold(0, |v, &c| v << 8 | u64::from(c))
}

fn pcap(mut input: impl Read) {
    let mut head = [0u8; 24];
    input.read_exact(&mut head).unwrap();
    let mut flows: HashMap<(u64, u64), u64> = HashMap::new();
    let (mut packets, mut syns, mut buf) = (0, 0, vec![0u8; 65536]);
    while input.read_exact(&mut head[..16]).is_ok() {
        let n = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let p = &mut buf[..n];
        if input.read_exact(p).is_err() {
            break;
        }
        packets += 1;
        if n < 54 || be(&p[12..14]) != 0x0800 || p[23] != 6 {
            continue;
        }
        let ip = &p[14..];
        let l4 = &ip[usize::from(ip[0] & 15) * 4..];
        *flows.entry((be(&ip[12..20]), be(&l4[..4]))).or_insert(0) += be(&ip[2..4]);
        if l4[13] & 2 != 0 {
            syns += 1;
        }
    }
    println!("{} {} {} {}", packets, syns, flows.len(), flows.values().sum::<u64>());
}
