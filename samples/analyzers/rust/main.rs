//! Finds TCP connections that pile up in CLOSE-WAIT: the other side has closed,
//! and the process on this side does not.
//!
//!     rustc --edition 2021 --target wasm32-wasi -C opt-level=s -C lto=fat -C panic=abort -C strip=symbols -o closewait.wasm main.rs
//!
//! (Since Rust 1.78 the target's name is wasm32-wasip1.)

#[path = "../../../sdk/rust/casefile.rs"]
mod casefile;

use casefile::{at, Error, Evidence, Finding, Rule, Run, Subject, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

const DEFAULT_THRESHOLD: usize = 20;
const SHOWN: usize = 5;

fn main() {
    casefile::main(
        include_str!("declaration.json"),
        &[Rule { id: "sample/close-wait-pileup", needs: &["nodes", "sockets"], run: pileup }],
    );
}

/// A network namespace: a node and an inode, 0 for that of the node itself.
type Space = (String, i64);

/// A socket in CLOSE-WAIT.
struct Socket {
    sample: i64,
    ends: (String, i64, String, i64),
    rqueue: i64,
    inode: i64,
    comm: String,
    at: i64,
}

/// When a node was read: number and time of a sample.
#[derive(Clone, Copy, Default)]
struct Sample {
    k: i64,
    seconds: f64,
}

struct Netns {
    uid: String,
    namespace: String,
    name: String,
}

struct Pod {
    namespace: String,
    name: String,
    uid: String,
    owner: String,
    at: i64,
}

#[derive(Default)]
struct Finder {
    names: HashMap<Space, Netns>,
    times: HashMap<String, (Sample, Sample)>, // first and last, of each node
    pods: Vec<Pod>,
    overflows: HashMap<Space, Evidence>,
}

fn pileup(run: &mut Run) -> Result<(), Error> {
    let threshold = number(run.setting("close-wait"), DEFAULT_THRESHOLD);
    if threshold == 0 {
        run.unknown("the setting close-wait is no number from 1 to 999999", &[]);
        return Ok(());
    }
    let mut f = Finder::default();
    let in_pods = f.read_nodes(run)?;
    f.read_pods(run)?;
    f.read_overflows(run)?;
    let mut waiting: BTreeMap<Space, Vec<Socket>> = BTreeMap::new();
    for input in ["sockets", "pod-sockets"] {
        let mut rows = run.rows(input)?;
        while let Some(s) = rows.next()? {
            waiting.entry(space(&s)).or_default().push(Socket {
                sample: s.int("_sample"),
                ends: (s.text("src").into(), s.int("sport"), s.text("dst").into(), s.int("dport")),
                rqueue: s.int("rqueue"),
                inode: s.int("inode"),
                comm: s.text("comm").into(),
                at: s.int("_at"),
            });
        }
    }
    for (place, sockets) in &waiting {
        f.look(run, threshold, place, sockets);
    }
    if in_pods {
        if let Some(reason) = run.missing("pod-sockets") {
            run.unknown(&reason, &["pod-sockets"]);
        }
    }
    Ok(())
}

fn space(row: &Value) -> Space {
    (row.text("_node").into(), row.int("_netns"))
}

impl Finder {
    /// Says whether there are network namespaces of pods.
    fn read_nodes(&mut self, run: &Run) -> Result<bool, Error> {
        let mut in_pods = false;
        let mut rows = run.rows("nodes")?;
        while let Some(n) = rows.next()? {
            let node = n.text("_node");
            for ns in n.list("netns").iter().filter(|ns| !ns.bool("host")) {
                in_pods = true;
                let name = Netns { uid: ns.text("podUID").into(), namespace: ns.text("podNamespace").into(), name: ns.text("podName").into() };
                self.names.insert((node.into(), ns.int("inode")), name);
            }
            for s in n.list("samples") {
                let s = Sample { k: s.int("k"), seconds: s.float("monotonic") };
                let (first, last) = self.times.entry(node.into()).or_insert((s, s));
                if s.k < first.k {
                    *first = s;
                }
                if s.k > last.k {
                    *last = s;
                }
            }
        }
        Ok(in_pods)
    }

    fn read_pods(&mut self, run: &Run) -> Result<(), Error> {
        let mut rows = run.rows("pods")?;
        while let Some(p) = rows.next()? {
            self.pods.push(Pod {
                namespace: p.text("metadata.namespace").into(),
                name: p.text("metadata.name").into(),
                uid: p.text("metadata.uid").into(),
                owner: owner(&p),
                at: p.int("_at"),
            });
        }
        Ok(())
    }

    fn read_overflows(&mut self, run: &Run) -> Result<(), Error> {
        let mut rows = run.rows("overflows")?;
        while let Some(c) = rows.next()? {
            if c.int("delta") > 0 {
                let moved = Evidence { delta: Some(c.int("delta")), seconds: c.float("seconds"), ..at(c.int("_at")) };
                self.overflows.insert(space(&c), moved);
            }
        }
        Ok(())
    }

    /// Counts the sockets of one network namespace that were there in the first
    /// sample and still are in the last; one sample alone shows a moment.
    fn look(&self, run: &mut Run, threshold: usize, place: &Space, all: &[Socket]) {
        let (first, last) = self.times.get(&place.0).copied().unwrap_or_default();
        let before: HashSet<_> = all.iter().filter(|s| s.sample == first.k).map(|s| &s.ends).collect();
        let mut stuck: Vec<&Socket> = all.iter().filter(|s| s.sample == last.k && before.contains(&s.ends)).collect();
        if stuck.len() < threshold {
            return;
        }
        stuck.sort_by_key(|s| s.at);
        let mut found = self.finding(place, &stuck);
        let seconds = ((last.seconds - first.seconds) * 10.0).round() / 10.0;
        found.params.push(("seconds", seconds.into()));
        if first.k == last.k {
            found.confidence = "medium".into();
        }
        run.find(found);
    }

    fn finding(&self, place: &Space, stuck: &[&Socket]) -> Finding {
        let unaccepted = stuck.iter().filter(|s| s.inode == 0).count();
        let unread = stuck.iter().filter(|s| s.inode != 0 && s.rqueue > 0).count();
        let (mut end, mut top) = most(stuck.iter().map(|s| format!(":{}", s.ends.1)));
        let (peer, peers) = most(stuck.iter().map(|s| address(&s.ends.2, s.ends.3)));
        if peers > top {
            end = peer;
            top = peers;
        }
        let (comm, _) = most(stuck.iter().filter(|s| !s.comm.is_empty()).map(|s| s.comm.clone()));
        let mut f = Finding { evidence: stuck.iter().take(SHOWN).map(|s| at(s.at)).collect(), ..Finding::default() };
        if 2 * unaccepted > stuck.len() {
            f.variant = "unaccepted".into();
            f.evidence.extend(self.overflows.get(place).cloned());
        } else if 2 * unread > stuck.len() {
            f.variant = "unread".into();
        }
        self.who(place, &mut f);
        let slash = if f.subject.namespace.is_empty() { "" } else { "/" };
        f.params = vec![
            ("where", format!("{} {}{}{}", f.subject.kind, f.subject.namespace, slash, f.subject.name).into()),
            ("count", stuck.len().into()),
            ("top", top.into()),
            ("end", end.into()),
            ("process", if comm.is_empty() { "?".into() } else { comm.into() }),
        ];
        f
    }

    /// Fills in what the finding is about.
    fn who(&self, place: &Space, f: &mut Finding) {
        let (node, inode) = place;
        f.subject = Subject { node: node.clone(), ..Subject::new("Node", "", node) };
        f.owner = format!("Node {}", node);
        if *inode == 0 {
            return;
        }
        let ns = match self.names.get(place).filter(|ns| !ns.name.is_empty()) {
            Some(ns) => ns,
            None => {
                f.subject.name = format!("{} (network namespace {})", node, inode);
                return;
            }
        };
        f.subject = Subject { node: node.clone(), uid: ns.uid.clone(), ..Subject::new("Pod", &ns.namespace, &ns.name) };
        f.owner = format!("Pod {}/{}", ns.namespace, ns.name);
        if let Some(p) = self.pods.iter().find(|p| p.namespace == ns.namespace && p.name == ns.name && p.uid == ns.uid) {
            f.owner = p.owner.clone();
            f.evidence.push(at(p.at));
        }
    }
}

/// The workload, which keeps its name when pods are replaced.
fn owner(p: &Value) -> String {
    let (mut kind, mut name) = ("Pod", p.text("metadata.name"));
    for o in p.list("metadata.ownerReferences") {
        if o.bool("controller") && o.text("kind") != "Node" {
            kind = o.text("kind");
            name = o.text("name");
        }
    }
    let hash = p.text("metadata.labels.pod-template-hash");
    if let ("ReplicaSet", false, Some(deployment)) = (kind, hash.is_empty(), name.strip_suffix(&format!("-{}", hash))) {
        kind = "Deployment";
        name = deployment;
    }
    format!("{} {}/{}", kind, p.text("metadata.namespace"), name)
}

/// The text that stands most often, the first by its bytes of those that stand
/// as often.
fn most(list: impl Iterator<Item = String>) -> (String, usize) {
    let mut count = BTreeMap::new();
    for s in list {
        *count.entry(s).or_insert(0) += 1;
    }
    count.into_iter().fold((String::new(), 0), |best, next| if next.1 > best.1 { next } else { best })
}

fn address(ip: &str, port: i64) -> String {
    if ip.contains(':') {
        format!("[{}]:{}", ip, port)
    } else {
        format!("{}:{}", ip, port)
    }
}

/// Reads a setting; 0 if it is no number in range.
fn number(s: &str, unset: usize) -> usize {
    if s.is_empty() {
        return unset;
    }
    if s.len() > 6 || !s.bytes().all(|c| c.is_ascii_digit()) {
        return 0;
    }
    s.parse().unwrap_or(0)
}
