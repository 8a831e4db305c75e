// Reads what analyzers read, from stdin: pods as JSON lines, the text of
// /proc/net/tcp, or a pcap file. It prints sums.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char buf[1 << 20];
static size_t have, at;

// fill makes n bytes stand at buf + at, if there are so many.
static int fill(size_t n) {
  while (have - at < n) {
    memmove(buf, buf + at, have - at);
    have -= at;
    at = 0;
    ssize_t got = read(0, buf + have, sizeof buf - have);
    if (got <= 0) return 0;
    have += got;
  }
  return 1;
}

static char *line(size_t *n) {
  for (size_t k = 0;; k++) {
    if (at + k >= have && !fill(k + 1)) return NULL;
    if (buf[at + k] == '\n') {
      char *l = buf + at;
      *n = k + 1;
      at += k + 1;
      return l;
    }
  }
}

static long restarts, names;

static const char *text(const char *p) {
  for (p++; *p != '"'; p++)
    if (*p == '\\') p++;
  return p + 1;
}

static const char *value(const char *p) {
  if (*p == '{') {
    for (p++; *p != '}';) {
      const char *key = p + 1;
      p = text(p);
      size_t n = p - key - 1;
      p++;
      if (n == 12 && !memcmp(key, "restartCount", n)) {
        long v = 0;
        for (; *p >= '0' && *p <= '9'; p++) v = v * 10 + *p - '0';
        restarts += v;
      } else if (n == 4 && !memcmp(key, "name", n)) {
        const char *from = p;
        p = text(p);
        names += p - from - 2;
      } else
        p = value(p);
      if (*p == ',') p++;
    }
    return p + 1;
  }
  if (*p == '[') {
    for (p++; *p != ']';) {
      p = value(p);
      if (*p == ',') p++;
    }
    return p + 1;
  }
  if (*p == '"') return text(p);
  while (*p != ',' && *p != '}' && *p != ']') p++;
  return p;
}

static void pods(void) {
  size_t n;
  long count = 0;
  for (char *l; (l = line(&n)); count++) value(l);
  printf("%ld %ld %ld\n", count, restarts, names);
}

static void tcp(void) {
  static int states[256], ports[65536];
  unsigned long long queued = 0;
  size_t n;
  for (char *l; (l = line(&n));) {
    uint64_t f[5] = {0}, v = 0;
    int k = 0, fresh = 1;
    for (size_t i = 0; i < n; i++) {
      char c = l[i];
      if (c >= '0' && c <= '9')
        v = v << 4 | (uint64_t)(c - '0'), fresh = 0;
      else if (c >= 'A' && c <= 'F')
        v = v << 4 | (uint64_t)(c - 'A' + 10), fresh = 0;
      else if (c == ' ') {
        if (!fresh && k < 5) f[k++] = v;
        v = 0, fresh = 1;
      }
    }
    states[f[3] & 255]++;
    ports[f[1] & 0xffff]++;
    queued += f[4] & 0xffffffff;
  }
  int s = 0, p = 0;
  for (int i = 0; i < 256; i++) s += states[i] > 0;
  for (int i = 0; i < 65536; i++) p += ports[i] > 0;
  printf("%d %d %llu\n", s, p, queued);
}

struct flow {
  uint32_t src, dst;
  uint16_t sport, dport;
  uint64_t bytes;
};
static struct flow table[1 << 16];

static uint32_t be(const uint8_t *p, int n) {
  uint32_t v = 0;
  while (n--) v = v << 8 | *p++;
  return v;
}

static void pcap(void) {
  long packets = 0, syns = 0, flows = 0;
  unsigned long long total = 0;
  fill(24);
  at += 24;
  while (fill(16)) {
    uint32_t n;
    memcpy(&n, buf + at + 8, 4);
    at += 16;
    if (!fill(n)) break;
    const uint8_t *p = (const uint8_t *)buf + at;
    at += n;
    packets++;
    if (n < 54 || be(p + 12, 2) != 0x0800 || p[23] != 6) continue;
    const uint8_t *ip = p + 14, *l4 = ip + (ip[0] & 15) * 4;
    struct flow f = {be(ip + 12, 4), be(ip + 16, 4), be(l4, 2), be(l4 + 2, 2), 0};
    uint32_t h = (f.src ^ f.dst * 31 ^ f.sport << 16 ^ f.dport) * 2654435761u >> 16;
    while (table[h].src && memcmp(&table[h], &f, 12)) h = (h + 1) & 0xffff;
    if (!table[h].src) table[h] = f, flows++;
    table[h].bytes += be(ip + 2, 2);
    if (l4[13] & 2) syns++;
  }
  for (int i = 0; i < 1 << 16; i++) total += table[i].bytes;
  printf("%ld %ld %ld %llu\n", packets, syns, flows, total);
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  if (!strcmp(argv[1], "pods")) pods();
  if (!strcmp(argv[1], "tcp")) tcp();
  if (!strcmp(argv[1], "pcap")) pcap();
}
