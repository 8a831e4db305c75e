// Finds TCP connections that pile up in CLOSE-WAIT: the other side has closed,
// and the process on this side does not.
//
//   npm ci && npm run build

import { Evidence, Finding, Rows, Rule, Run, Subject, Value, at, compare, float, int, main, text } from "../../../sdk/assemblyscript/casefile";
import { declaration } from "./declaration";

const DEFAULT_THRESHOLD = 20;
const SHOWN = 5;

// A socket in CLOSE-WAIT, and the network namespace that it is in.
class Socket {
  node: string;
  netns: i64;
  sample: i64;
  sport: i64;
  dst: string;
  dport: i64;
  rqueue: i64;
  inode: i64;
  comm: string;
  at: i64;
  ends: string = "";

  constructor(row: Value) {
    this.node = row.text("_node");
    this.netns = row.int("_netns");
    this.sample = row.int("_sample");
    this.sport = row.int("sport");
    this.dst = row.text("dst");
    this.dport = row.int("dport");
    this.rqueue = row.int("rqueue");
    this.inode = row.int("inode");
    this.comm = row.text("comm");
    this.at = row.int("_at");
    this.ends = [row.text("src"), this.dst, this.sport.toString(), this.dport.toString()].join("\n");
  }
}

// A network namespace of a pod.
class Netns {
  constructor(public uid: string, public namespace: string, public name: string) {}
}

// When a node was read first and last.
class Times {
  first: i64 = 0;
  last: i64 = 0;
  started: f64 = 0;
  ended: f64 = 0;
}

class Pod {
  constructor(public uid: string, public namespace: string, public name: string, public owner: string, public at: i64) {}
}

class Most {
  constructor(public text: string, public times: i32) {}
}

// place names a network namespace, that of the node itself by 0.
function place(node: string, inode: i64): string {
  return node + "\n" + inode.toString();
}

class Finder {
  names: Map<string, Netns> = new Map<string, Netns>();
  times: Map<string, Times> = new Map<string, Times>();
  pods: Pod[] = [];
  overflows: Map<string, Evidence> = new Map<string, Evidence>();
  sockets: Socket[] = [];

  // readNodes says whether there are network namespaces of pods.
  readNodes(rows: Rows): bool {
    let inPods = false;
    while (rows.next()) {
      const node = rows.row.text("_node"), spaces = rows.row.list("netns"), samples = rows.row.list("samples"), times = new Times();
      for (let i = 0; i < spaces.length; i++) {
        const ns = spaces[i];
        if (ns.bool("host")) continue;
        inPods = true;
        this.names.set(place(node, ns.int("inode")), new Netns(ns.text("podUID"), ns.text("podNamespace"), ns.text("podName")));
      }
      for (let i = 0; i < samples.length; i++) {
        const k = samples[i].int("k"), seconds = samples[i].float("monotonic");
        if (!i || k < times.first) {
          times.first = k;
          times.started = seconds;
        }
        if (!i || k > times.last) {
          times.last = k;
          times.ended = seconds;
        }
      }
      this.times.set(node, times);
    }
    return inPods;
  }

  readPods(rows: Rows): void {
    while (rows.next()) {
      const p = rows.row;
      this.pods.push(new Pod(p.text("metadata.uid"), p.text("metadata.namespace"), p.text("metadata.name"), owner(p), p.int("_at")));
    }
  }

  readOverflows(rows: Rows): void {
    while (rows.next()) {
      const c = rows.row, e = at(c.int("_at"));
      if (c.int("delta") <= 0) continue;
      e.moved = true;
      e.delta = c.int("delta");
      e.seconds = c.float("seconds");
      this.overflows.set(place(c.text("_node"), c.int("_netns")), e);
    }
  }

  readSockets(rows: Rows): void {
    while (rows.next()) this.sockets.push(new Socket(rows.row));
  }

  // look counts the sockets of one network namespace that were there in the
  // first sample and still are in the last; one sample alone shows a moment.
  look(run: Run, threshold: i32, all: Socket[]): void {
    const node = all[0].node, times = this.times.has(node) ? this.times.get(node) : new Times();
    const before = new Set<string>(), stuck: Socket[] = [];
    for (let i = 0; i < all.length; i++) if (all[i].sample == times.first) before.add(all[i].ends);
    for (let i = 0; i < all.length; i++) if (all[i].sample == times.last && before.has(all[i].ends)) stuck.push(all[i]);
    if (stuck.length < threshold) return;
    const f = this.finding(stuck);
    f.params.set("seconds", float(Math.round((times.ended - times.started) * 10) / 10));
    if (times.first == times.last) f.confidence = "medium";
    run.find(f);
  }

  finding(stuck: Socket[]): Finding {
    const local: string[] = [], peer: string[] = [], process: string[] = [], node = stuck[0].node, inode = stuck[0].netns;
    const f = new Finding(new Subject("Node", "", node, node));
    let unread = 0, unaccepted = 0;
    for (let i = 0; i < stuck.length; i++) {
      const s = stuck[i];
      if (!s.inode) unaccepted++;
      else if (s.rqueue > 0) unread++;
      if (i < SHOWN) f.evidence.push(at(s.at));
      local.push(":" + s.sport.toString());
      peer.push((s.dst.includes(":") ? "[" + s.dst + "]:" : s.dst + ":") + s.dport.toString());
      if (s.comm.length) process.push(s.comm);
    }
    let end = most(local);
    const other = most(peer), comm = most(process);
    if (other.times > end.times) end = other;
    if (2 * unaccepted > stuck.length) {
      f.variant = "unaccepted";
      if (this.overflows.has(place(node, inode))) f.evidence.push(this.overflows.get(place(node, inode)));
    } else if (2 * unread > stuck.length) f.variant = "unread";
    this.who(f, node, inode);
    const s = f.subject;
    f.params.set("where", text(s.kind + " " + (s.namespace.length ? s.namespace + "/" : "") + s.name));
    f.params.set("count", int(stuck.length));
    f.params.set("top", int(end.times));
    f.params.set("end", text(end.text));
    f.params.set("process", text(comm.times ? comm.text : "?"));
    return f;
  }

  // who fills in what the finding is about.
  who(f: Finding, node: string, inode: i64): void {
    const key = place(node, inode);
    f.owner = "Node " + node;
    if (!inode) return;
    if (!this.names.has(key) || !this.names.get(key).name.length) {
      f.subject.name = node + " (network namespace " + inode.toString() + ")";
      return;
    }
    const ns = this.names.get(key);
    f.subject = new Subject("Pod", ns.namespace, ns.name, node, ns.uid);
    f.owner = "Pod " + ns.namespace + "/" + ns.name;
    for (let i = 0; i < this.pods.length; i++) {
      const p = this.pods[i];
      if (p.namespace != ns.namespace || p.name != ns.name || p.uid != ns.uid) continue;
      f.owner = p.owner;
      f.evidence.push(at(p.at));
      return;
    }
  }
}

// owner is the workload, which keeps its name when pods are replaced.
function owner(p: Value): string {
  const hash = p.text("metadata.labels.pod-template-hash"), owners = p.list("metadata.ownerReferences");
  let kind = "Pod", name = p.text("metadata.name");
  for (let i = 0; i < owners.length; i++)
    if (owners[i].bool("controller") && owners[i].text("kind") != "Node") {
      kind = owners[i].text("kind");
      name = owners[i].text("name");
    }
  if (hash.length && kind == "ReplicaSet" && name.endsWith("-" + hash)) {
    kind = "Deployment";
    name = name.substring(0, name.length - hash.length - 1);
  }
  return kind + " " + p.text("metadata.namespace") + "/" + name;
}

// most is the text that stands most often, the first by its bytes of those
// that stand as often.
function most(list: string[]): Most {
  const best = new Most("", 0);
  list.sort(compare);
  for (let i = 0, from = 0; i < list.length; i++) {
    if (list[i] != list[from]) from = i;
    if (i - from + 1 > best.times) {
      best.times = i - from + 1;
      best.text = list[i];
    }
  }
  return best;
}

// number reads a setting; 0 if it is no number in range.
function number(s: string, unset: i32): i32 {
  let n = 0;
  if (!s.length) return unset;
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c < 0x30 || c > 0x39 || s.length > 6) return 0;
    n = 10 * n + c - 0x30;
  }
  return n;
}

function bySpace(a: Socket, b: Socket): i32 {
  const c = compare(a.node, b.node);
  if (c) return c;
  if (a.netns != b.netns) return a.netns < b.netns ? -1 : 1;
  return a.at < b.at ? -1 : a.at > b.at ? 1 : 0;
}

function pileup(run: Run): void {
  const threshold = number(run.setting("close-wait"), DEFAULT_THRESHOLD), f = new Finder();
  if (!threshold) return run.unknown("the setting close-wait is no number from 1 to 999999");
  const inPods = f.readNodes(run.rows("nodes"));
  f.readPods(run.rows("pods"));
  f.readOverflows(run.rows("overflows"));
  f.readSockets(run.rows("sockets"));
  f.readSockets(run.rows("pod-sockets"));
  const all = f.sockets.sort(bySpace);
  for (let i = 0, from = 0; i < all.length; i++) {
    if (i + 1 < all.length && all[i + 1].node == all[from].node && all[i + 1].netns == all[from].netns) continue;
    f.look(run, threshold, all.slice(from, i + 1));
    from = i + 1;
  }
  const reason = run.missing("pod-sockets");
  if (inPods && reason.length) run.unknown(reason, ["pod-sockets"]);
}

main(declaration, [new Rule("sample/close-wait-pileup", ["nodes", "sockets"], pileup)]);
