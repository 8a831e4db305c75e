/* Finds TCP connections that pile up in CLOSE-WAIT: the other side has closed,
 * and the process on this side does not.
 *
 *   clang --target=wasm32-wasi --sysroot=/usr -std=c11 -O2 -s -Wl,--stack-first -Wl,-z,stack-size=1048576 \
 *     -I../../../sdk/c -o closewait.wasm main.c
 */
#include <math.h>

#include "casefile.h"

static const char declaration[] =
#include "declaration.h"
    ;

enum { default_threshold = 20, shown = 5 };

/* A socket in CLOSE-WAIT, and the network namespace that it is in. */
typedef struct {
  cf_text node, src, dst, comm;
  int64_t netns, sample, sport, dport, rqueue, inode, at;
} sock;

/* A network namespace of a pod. */
typedef struct {
  cf_text node, uid, namespace, name;
  int64_t inode;
} netns;

/* When a node was read first and last. */
typedef struct {
  cf_text node;
  int64_t first, last;
  double started, ended;
} node;

typedef struct {
  cf_text uid, namespace, name, owner;
  int64_t at;
} pod;

/* How often a namespace's accept queues overflowed. */
typedef struct {
  cf_text node;
  int64_t netns, delta, at;
  double seconds;
} counter;

typedef struct {
  sock *sockets;
  netns *spaces;
  node *nodes;
  pod *pods;
  counter *overflows;
  size_t sockets_n, spaces_n, nodes_n, pods_n, overflows_n;
  int64_t threshold;
} finder;

#define ADD(list, n, ...) ((list) = cf_more(list, n, sizeof *(list)), (list)[(n)++] = __VA_ARGS__)

static int order(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int by_space(const void *a, const void *b) {
  const sock *x = a, *y = b;
  int c = cf_compare(x->node, y->node);
  if (!c) c = order(x->netns, y->netns);
  return c ? c : order(x->at, y->at);
}

static int by_ends(const void *a, const void *b) {
  const sock *x = a, *y = b;
  int c = cf_compare(x->src, y->src);
  if (!c) c = cf_compare(x->dst, y->dst);
  if (!c) c = order(x->sport, y->sport);
  return c ? c : order(x->dport, y->dport);
}

static int by_text(const void *a, const void *b) { return cf_compare(*(const cf_text *)a, *(const cf_text *)b); }

/* most is the text that stands most often, the first by its bytes of those
 * that stand as often. */
static cf_text most(cf_text *list, size_t n, int64_t *times) {
  cf_text best = CF("");
  *times = 0;
  qsort(list, n, sizeof *list, by_text);
  for (size_t i = 0, from = 0; i < n; i++) {
    if (!cf_same(list[i], list[from])) from = i;
    if ((int64_t)(i - from + 1) > *times) {
      *times = (int64_t)(i - from + 1);
      best = list[i];
    }
  }
  return best;
}

static cf_text address(cf_text ip, int64_t port) {
  bool six = memchr(ip.p, ':', ip.n) != NULL;
  return cf_cat(six ? CF("[") : CF(""), ip, six ? CF("]:") : CF(":"), cf_decimal(port));
}

/* number reads a setting; 0 if it is no number in range. */
static int64_t number(cf_text t, int64_t unset) {
  int64_t n = 0;
  if (!t.n) return unset;
  for (size_t i = 0; i < t.n; i++) {
    if (t.p[i] < '0' || t.p[i] > '9' || t.n > 6) return 0;
    n = 10 * n + (t.p[i] - '0');
  }
  return n;
}

/* read_nodes says whether there are network namespaces of pods. */
static bool read_nodes(cf_run *run, finder *f) {
  cf_rows rows = cf_open(run, "nodes");
  bool in_pods = false;
  for (const cf_value *row, *list; (row = cf_next(&rows));) {
    cf_text name = cf_keep(cf_text_at(row, "_node"));
    size_t n = cf_items(cf_at(row, "netns"), &list);
    for (size_t i = 0; i < n; i++) {
      if (cf_bool_at(&list[i], "host")) continue;
      in_pods = true;
      ADD(f->spaces, f->spaces_n, (netns){.node = name, .inode = cf_int_at(&list[i], "inode"), .uid = cf_keep(cf_text_at(&list[i], "podUID")),
        .namespace = cf_keep(cf_text_at(&list[i], "podNamespace")), .name = cf_keep(cf_text_at(&list[i], "podName"))});
    }
    node d = {.node = name};
    n = cf_items(cf_at(row, "samples"), &list);
    for (size_t i = 0; i < n; i++) {
      int64_t k = cf_int_at(&list[i], "k");
      double at = cf_float_at(&list[i], "monotonic");
      if (!i || k < d.first) { d.first = k; d.started = at; }
      if (!i || k > d.last) { d.last = k; d.ended = at; }
    }
    ADD(f->nodes, f->nodes_n, d);
  }
  return in_pods;
}

static void read_sockets(cf_run *run, finder *f, const char *input) {
  cf_rows rows = cf_open(run, input);
  for (const cf_value *row; (row = cf_next(&rows));)
    ADD(f->sockets, f->sockets_n, (sock){.node = cf_keep(cf_text_at(row, "_node")), .netns = cf_int_at(row, "_netns"),
      .sample = cf_int_at(row, "_sample"), .src = cf_keep(cf_text_at(row, "src")), .sport = cf_int_at(row, "sport"),
      .dst = cf_keep(cf_text_at(row, "dst")), .dport = cf_int_at(row, "dport"), .rqueue = cf_int_at(row, "rqueue"),
      .inode = cf_int_at(row, "inode"), .comm = cf_keep(cf_text_at(row, "comm")), .at = cf_int_at(row, "_at")});
}

/* owner is the workload, which keeps its name when pods are replaced. */
static cf_text owner(const cf_value *p) {
  cf_text kind = CF("Pod"), name = cf_text_at(p, "metadata.name"), hash = cf_text_at(p, "metadata.labels.pod-template-hash");
  const cf_value *list;
  size_t n = cf_items(cf_at(p, "metadata.ownerReferences"), &list);
  for (size_t i = 0; i < n; i++)
    if (cf_bool_at(&list[i], "controller") && !cf_same(cf_text_at(&list[i], "kind"), CF("Node"))) {
      kind = cf_text_at(&list[i], "kind");
      name = cf_text_at(&list[i], "name");
    }
  if (hash.n && name.n > hash.n && name.p[name.n - hash.n - 1] == '-' && cf_same(kind, CF("ReplicaSet")) &&
      !memcmp(name.p + name.n - hash.n, hash.p, hash.n)) {
    kind = CF("Deployment");
    name.n -= hash.n + 1;
  }
  return cf_cat(kind, CF(" "), cf_text_at(p, "metadata.namespace"), CF("/"), name);
}

static void read_pods(cf_run *run, finder *f) {
  cf_rows rows = cf_open(run, "pods");
  for (const cf_value *row; (row = cf_next(&rows));)
    ADD(f->pods, f->pods_n, (pod){.uid = cf_keep(cf_text_at(row, "metadata.uid")), .namespace = cf_keep(cf_text_at(row, "metadata.namespace")),
      .name = cf_keep(cf_text_at(row, "metadata.name")), .owner = owner(row), .at = cf_int_at(row, "_at")});
}

static void read_overflows(cf_run *run, finder *f) {
  cf_rows rows = cf_open(run, "overflows");
  for (const cf_value *row; (row = cf_next(&rows));)
    ADD(f->overflows, f->overflows_n, (counter){.node = cf_keep(cf_text_at(row, "_node")), .netns = cf_int_at(row, "_netns"),
      .delta = cf_int_at(row, "delta"), .seconds = cf_float_at(row, "seconds"), .at = cf_int_at(row, "_at")});
}

/* who fills in what the finding is about. */
static void who(const finder *f, cf_text machine, int64_t inode, cf_finding *fd) {
  const netns *ns = NULL;
  for (size_t i = 0; i < f->spaces_n; i++)
    if (f->spaces[i].inode == inode && cf_same(f->spaces[i].node, machine)) ns = &f->spaces[i];
  fd->subject = (cf_subject){.kind = CF("Node"), .name = machine, .node = machine};
  fd->owner = cf_cat(CF("Node "), machine);
  if (!inode) return;
  if (!ns || !ns->name.n) {
    fd->subject.name = cf_cat(machine, CF(" (network namespace "), cf_decimal(inode), CF(")"));
    return;
  }
  fd->subject = (cf_subject){.kind = CF("Pod"), .namespace = ns->namespace, .name = ns->name, .node = machine, .uid = ns->uid};
  fd->owner = cf_cat(CF("Pod "), ns->namespace, CF("/"), ns->name);
  for (size_t i = 0; i < f->pods_n; i++) {
    const pod *p = &f->pods[i];
    if (!cf_same(p->namespace, ns->namespace) || !cf_same(p->name, ns->name) || !cf_same(p->uid, ns->uid)) continue;
    fd->owner = p->owner;
    cf_cite(fd, p->at);
    return;
  }
}

static void report(cf_run *run, const finder *f, const sock *stuck, size_t n, const node *times) {
  cf_text machine = stuck->node, *local = cf_array(n, sizeof *local), *peer = cf_array(n, sizeof *peer), *process = cf_array(n, sizeof *process);
  int64_t inode = stuck->netns, top, peers, unused;
  size_t unread = 0, unaccepted = 0, named = 0;
  cf_finding fd = {0};
  for (size_t i = 0; i < n; i++) {
    if (!stuck[i].inode) unaccepted++;
    else if (stuck[i].rqueue > 0) unread++;
    local[i] = cf_cat(CF(":"), cf_decimal(stuck[i].sport));
    peer[i] = address(stuck[i].dst, stuck[i].dport);
    if (stuck[i].comm.n) process[named++] = stuck[i].comm;
    if (i < shown) cf_cite(&fd, stuck[i].at);
  }
  cf_text end = most(local, n, &top), other = most(peer, n, &peers), comm = most(process, named, &unused);
  if (peers > top) { end = other; top = peers; }
  if (2 * unaccepted > n) {
    fd.variant = CF("unaccepted");
    for (size_t i = 0; i < f->overflows_n; i++) {
      const counter *c = &f->overflows[i];
      if (c->delta > 0 && c->netns == inode && cf_same(c->node, machine)) cf_cite_moved(&fd, c->at, c->delta, c->seconds);
    }
  } else if (2 * unread > n) fd.variant = CF("unread");
  if (times->first == times->last) fd.confidence = CF("medium");
  who(f, machine, inode, &fd);
  cf_text slash = fd.subject.namespace.n ? CF("/") : CF("");
  cf_param_text(&fd, "where", cf_cat(fd.subject.kind, CF(" "), fd.subject.namespace, slash, fd.subject.name));
  cf_param_int(&fd, "count", (int64_t)n);
  cf_param_int(&fd, "top", top);
  cf_param_text(&fd, "end", end);
  cf_param_text(&fd, "process", comm.n ? comm : CF("?"));
  cf_param_float(&fd, "seconds", round((times->ended - times->started) * 10) / 10);
  cf_find(run, &fd);
}

/* look counts the sockets of one network namespace that were there in the
 * first sample and still are in the last; one sample alone shows a moment. */
static void look(cf_run *run, const finder *f, const sock *all, size_t n) {
  node times = {0};
  for (size_t i = 0; i < f->nodes_n; i++)
    if (cf_same(f->nodes[i].node, all->node)) times = f->nodes[i];
  sock *before = cf_array(n, sizeof *before), *stuck = cf_array(n, sizeof *stuck);
  size_t before_n = 0, stuck_n = 0;
  for (size_t i = 0; i < n; i++)
    if (all[i].sample == times.first) before[before_n++] = all[i];
  qsort(before, before_n, sizeof *before, by_ends);
  for (size_t i = 0; i < n; i++)
    if (all[i].sample == times.last && bsearch(&all[i], before, before_n, sizeof *before, by_ends)) stuck[stuck_n++] = all[i];
  if ((int64_t)stuck_n >= f->threshold) report(run, f, stuck, stuck_n, &times);
}

static void pileup(cf_run *run) {
  finder f = {.threshold = number(cf_setting(run, "close-wait"), default_threshold)};
  if (!f.threshold) {
    cf_unknown(run, CF("the setting close-wait is no number from 1 to 999999"), NULL);
    return;
  }
  bool in_pods = read_nodes(run, &f);
  read_pods(run, &f);
  read_overflows(run, &f);
  read_sockets(run, &f, "sockets");
  read_sockets(run, &f, "pod-sockets");
  if (f.sockets_n) qsort(f.sockets, f.sockets_n, sizeof *f.sockets, by_space);
  for (size_t i = 0, from = 0; i < f.sockets_n; i++) {
    const sock *s = f.sockets;
    if (i + 1 < f.sockets_n && s[i + 1].netns == s[from].netns && cf_same(s[i + 1].node, s[from].node)) continue;
    look(run, &f, &s[from], i + 1 - from);
    from = i + 1;
  }
  cf_text reason;
  if (in_pods && cf_missing(run, "pod-sockets", &reason)) cf_unknown(run, reason, "pod-sockets");
}

int main(int argc, char **argv) {
  static const cf_rule rules[] = {{.id = "sample/close-wait-pileup", .needs = "nodes sockets", .run = pileup}};
  return cf_main(argc, argv, declaration, rules, sizeof rules / sizeof *rules);
}
