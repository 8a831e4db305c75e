/* casefile.h: what an analyzer in C needs beyond libc: rows, settings, and
 * findings. Copy it into your project; there is nothing to link.
 *
 *   static void stuck(cf_run *run) {
 *     cf_rows pods = cf_open(run, "pods");
 *     for (const cf_value *p; (p = cf_next(&pods));)
 *       if (cf_same(cf_text_at(p, "status.phase"), CF("Pending"))) {
 *         cf_finding f = {.subject = {.kind = CF("Pod"), .namespace = cf_text_at(p, "metadata.namespace"), .name = cf_text_at(p, "metadata.name")}};
 *         cf_param_text(&f, "pod", f.subject.name);
 *         cf_cite(&f, cf_int_at(p, "_at"));
 *         cf_find(run, &f);
 *       }
 *   }
 *   int main(int argc, char **argv) {
 *     static const cf_rule rules[] = {{.id = "mine/stuck", .needs = "pods", .run = stuck}};
 *     return cf_main(argc, argv, declaration, rules, 1);
 *   }
 *
 * A rule that found nothing is clear, unless one of the inputs named in its
 * rules entry ("pods nodes") is incomplete, could not be read, or the rule
 * called cf_unknown: then it is unknown, and says why.
 *
 * Nothing here trusts a length that it reads. Values of a row live until the
 * next one; cf_keep copies a text that has to outlive it. Memory is not given
 * back: a module runs once. */
#ifndef CASEFILE_H
#define CASEFILE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CF_FN static __attribute__((unused))

/* CF_JSON turns a JSON text, written bare, into a C string. */
#define CF_JSON(...) #__VA_ARGS__

/* ---- texts and memory ---- */

typedef struct { const char *p; size_t n; } cf_text;

#define CF(s) ((cf_text){"" s, sizeof(s) - 1})

CF_FN cf_text cf_of(const char *s) { return (cf_text){s, strlen(s)}; }

/* cf_compare orders texts by their bytes. */
CF_FN int cf_compare(cf_text a, cf_text b) {
  size_t n = a.n < b.n ? a.n : b.n;
  int c = n ? memcmp(a.p, b.p, n) : 0;
  return c ? c : (a.n > b.n) - (a.n < b.n);
}
CF_FN bool cf_same(cf_text a, cf_text b) { return a.n == b.n && cf_compare(a, b) == 0; }

CF_FN void cf_die(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(1);
}

/* cf_array is malloc for n elements, checked. */
CF_FN void *cf_array(size_t n, size_t size) {
  void *p = calloc(n ? n : 1, size ? size : 1);
  if (!p) cf_die("out of memory");
  return p;
}

/* cf_more makes room for one more element in a growing array. */
CF_FN void *cf_more(void *array, size_t have, size_t size) {
  if (have & (have - 1)) return array; /* grows at powers of two */
  if (have > SIZE_MAX / 2 / size) cf_die("out of memory");
  array = realloc(array, (have ? 2 * have : 1) * size);
  if (!array) cf_die("out of memory");
  return array;
}

CF_FN cf_text cf_keep(cf_text t) {
  char *p = cf_array(t.n + 1, 1);
  if (t.n) memcpy(p, t.p, t.n);
  return (cf_text){p, t.n};
}

/* cf_cat joins texts: cf_cat(CF("Pod "), namespace, CF("/"), name). */
#define cf_cat(...) cf_concat((const cf_text[]){__VA_ARGS__}, sizeof((const cf_text[]){__VA_ARGS__}) / sizeof(cf_text))
CF_FN cf_text cf_concat(const cf_text *list, size_t n) {
  size_t size = 0;
  for (size_t i = 0; i < n; i++) {
    if (list[i].n > SIZE_MAX / 2 - size) cf_die("out of memory");
    size += list[i].n;
  }
  char *p = cf_array(size + 1, 1), *to = p;
  for (size_t i = 0; i < n; i++) {
    if (list[i].n) memcpy(to, list[i].p, list[i].n);
    to += list[i].n;
  }
  return (cf_text){p, size}; /* and a zero after it */
}

CF_FN cf_text cf_decimal(int64_t v) {
  char digits[24];
  snprintf(digits, sizeof digits, "%lld", (long long)v);
  return cf_keep(cf_of(digits));
}

typedef struct cf_block { struct cf_block *next; size_t used, size; _Alignas(8) unsigned char data[]; } cf_block;
typedef struct { cf_block *blocks; } cf_arena;

CF_FN void *cf_take(cf_arena *a, size_t n, size_t size) {
  if (size && n > (SIZE_MAX / 2) / size) cf_die("out of memory");
  n = (n * size + 7) & ~(size_t)7;
  cf_block *b = a->blocks;
  if (!b || b->size - b->used < n) {
    size_t room = b && b->size < (1 << 20) ? 2 * b->size : 4096;
    if (room < n) room = n;
    cf_block *more = malloc(sizeof *more + room);
    if (!more) cf_die("out of memory");
    *more = (cf_block){.next = b, .size = room};
    a->blocks = b = more;
  }
  void *p = b->data + b->used;
  b->used += n;
  return memset(p, 0, n);
}

CF_FN void cf_clear(cf_arena *a) { /* keeps the newest block */
  if (!a->blocks) return;
  for (cf_block *b = a->blocks->next, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  a->blocks->next = NULL;
  a->blocks->used = 0;
}

/* ---- values ---- */

typedef enum { CF_NULL, CF_BOOL, CF_INT, CF_FLOAT, CF_TEXT, CF_LIST, CF_OBJECT } cf_kind;

typedef struct cf_value {
  cf_kind kind;
  size_t n; /* of items */
  union { bool truth; int64_t integer; double number; cf_text text; struct cf_value *items; };
  const cf_text *keys; /* of an object, one for each item */
} cf_value;

CF_FN const cf_value *cf_nothing(void) {
  static const cf_value nothing = {0};
  return &nothing;
}

CF_FN const cf_value *cf_key(const cf_value *v, cf_text key) {
  if (v->kind == CF_OBJECT)
    for (size_t i = 0; i < v->n; i++)
      if (cf_same(v->keys[i], key)) return &v->items[i];
  return cf_nothing();
}

/* cf_at follows a path of keys, "metadata.name". What is absent is null: the
 * host leaves out what is zero. */
CF_FN const cf_value *cf_at(const cf_value *v, const char *path) {
  for (;;) {
    size_t n = strcspn(path, ".");
    v = cf_key(v, (cf_text){path, n});
    if (!path[n]) return v;
    path += n + 1;
  }
}

/* The accessors give the zero of their type when the value is of another. */
CF_FN cf_text cf_as_text(const cf_value *v) { return v->kind == CF_TEXT ? v->text : CF(""); }
CF_FN int64_t cf_as_int(const cf_value *v) { return v->kind == CF_INT ? v->integer : 0; }
CF_FN bool cf_as_bool(const cf_value *v) { return v->kind == CF_BOOL && v->truth; }
CF_FN double cf_as_float(const cf_value *v) { return v->kind == CF_FLOAT ? v->number : (double)cf_as_int(v); }
CF_FN cf_text cf_text_at(const cf_value *v, const char *path) { return cf_as_text(cf_at(v, path)); }
CF_FN int64_t cf_int_at(const cf_value *v, const char *path) { return cf_as_int(cf_at(v, path)); }
CF_FN bool cf_bool_at(const cf_value *v, const char *path) { return cf_as_bool(cf_at(v, path)); }
CF_FN double cf_float_at(const cf_value *v, const char *path) { return cf_as_float(cf_at(v, path)); }

/* cf_items gives the items of a list and their number. */
CF_FN size_t cf_items(const cf_value *v, const cf_value **items) {
  *items = v->items;
  return v->kind == CF_LIST ? v->n : 0;
}

/* ---- reading JSON ---- */

typedef struct {
  const unsigned char *p, *end;
  cf_arena *arena;
  const char *wrong; /* the first thing that was; NULL while all is well */
  int depth;
} cf_reader;

CF_FN void *cf_wrong(cf_reader *r, const char *what) {
  if (!r->wrong) r->wrong = what;
  r->p = r->end;
  return NULL;
}

CF_FN int cf_peek(cf_reader *r) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r' || *r->p == '\n')) r->p++;
  return r->p < r->end ? *r->p : -1;
}

CF_FN bool cf_word(cf_reader *r, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n)) return cf_wrong(r, "JSON: an unknown word");
  r->p += n;
  return true;
}

CF_FN char *cf_put_rune(char *o, uint32_t c) {
  if (c < 0x80) { *o++ = (char)c; return o; }
  if (c < 0x800) *o++ = (char)(0xc0 | c >> 6);
  else {
    if (c < 0x10000) *o++ = (char)(0xe0 | c >> 12);
    else {
      *o++ = (char)(0xf0 | c >> 18);
      *o++ = (char)(0x80 | (c >> 12 & 0x3f));
    }
    *o++ = (char)(0x80 | (c >> 6 & 0x3f));
  }
  *o++ = (char)(0x80 | (c & 0x3f));
  return o;
}

CF_FN uint32_t cf_hex4(cf_reader *r) {
  uint32_t v = 0;
  for (int i = 0; i < 4; i++) {
    int c = r->p < r->end ? *r->p++ : 0;
    int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (d < 0) { cf_wrong(r, "JSON: a bad escape"); return 0; }
    v = v << 4 | (uint32_t)d;
  }
  return v;
}

CF_FN char *cf_escape(cf_reader *r, char *o) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  int c = r->p < r->end ? *r->p++ : 0;
  const char *at = c ? strchr(from, c) : NULL;
  if (at) { *o++ = to[at - from]; return o; }
  if (c != 'u') { cf_wrong(r, "JSON: a bad escape"); return o; }
  uint32_t u = cf_hex4(r);
  if (u >= 0xd800 && u < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u') {
    const unsigned char *back = r->p;
    r->p += 2;
    uint32_t low = cf_hex4(r);
    if (low >= 0xdc00 && low < 0xe000) return cf_put_rune(o, 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00));
    if (!r->wrong) r->p = back;
  }
  return cf_put_rune(o, u >= 0xd800 && u < 0xe000 ? 0xfffd : u); /* half a pair is no character */
}

CF_FN cf_text cf_string(cf_reader *r) {
  const unsigned char *start = ++r->p;
  while (r->p < r->end && *r->p != '"') r->p += *r->p == '\\' && r->end - r->p > 1 ? 2 : 1;
  if (r->p >= r->end) { cf_wrong(r, "JSON: a text without end"); return CF(""); }
  const unsigned char *stop = r->p;
  char *out = cf_take(r->arena, (size_t)(stop - start) + 1, 1), *o = out; /* an escape is longer than what it stands for */
  for (r->p = start; r->p < stop;) {
    if (*r->p != '\\') *o++ = (char)*r->p++;
    else { r->p++; o = cf_escape(r, o); }
  }
  if (r->wrong) return CF("");
  r->p = stop + 1;
  return (cf_text){out, (size_t)(o - out)};
}

CF_FN cf_value cf_number(cf_reader *r) {
  const unsigned char *start = r->p;
  bool whole = true;
  for (; r->p < r->end && strchr("+-.eE0123456789", *r->p) && *r->p; r->p++) whole = whole && *r->p != '.' && (*r->p | 32) != 'e';
  size_t n = (size_t)(r->p - start);
  if (!n || n > 400) { cf_wrong(r, "JSON: no value"); return (cf_value){0}; }
  char *text = cf_take(r->arena, n + 1, 1), *end;
  memcpy(text, start, n);
  cf_value v = {.kind = CF_INT};
  errno = 0;
  v.integer = strtoll(text, &end, 10);
  if (!whole || errno) v = (cf_value){.kind = CF_FLOAT, .number = strtod(text, &end)};
  if (*end) cf_wrong(r, "JSON: no number");
  return v;
}

CF_FN cf_value cf_json(cf_reader *r);

/* cf_members reads what stands between brackets or, with keys, braces. */
CF_FN cf_value cf_members(cf_reader *r, bool object) {
  cf_value v = {.kind = object ? CF_OBJECT : CF_LIST};
  cf_text *keys = NULL;
  size_t room = 0;
  r->p++;
  if (++r->depth > 100) cf_wrong(r, "JSON: nested too deeply");
  for (int close = object ? '}' : ']', c; (c = cf_peek(r)) != close || v.n;) {
    if (v.n == room) {
      room = room ? 2 * room : 4;
      cf_value *items = cf_take(r->arena, room, sizeof *items);
      cf_text *names = cf_take(r->arena, object ? room : 0, sizeof *names);
      if (v.n) memcpy(items, v.items, v.n * sizeof *items);
      if (v.n && object) memcpy(names, keys, v.n * sizeof *names);
      v.items = items;
      v.keys = keys = names;
    }
    if (object) {
      if (c != '"') { cf_wrong(r, "JSON: no key"); break; }
      keys[v.n] = cf_string(r);
      if (cf_peek(r) != ':') { cf_wrong(r, "JSON: no colon"); break; }
      r->p++;
    }
    v.items[v.n++] = cf_json(r);
    if ((c = cf_peek(r)) == ',') { r->p++; continue; }
    if (c != close) cf_wrong(r, "JSON: no comma");
    break;
  }
  if (!r->wrong) r->p++;
  r->depth--;
  return v;
}

CF_FN cf_value cf_json(cf_reader *r) {
  switch (cf_peek(r)) {
  case '{': return cf_members(r, true);
  case '[': return cf_members(r, false);
  case '"': return (cf_value){.kind = CF_TEXT, .text = cf_string(r)};
  case 't': return (cf_value){.kind = CF_BOOL, .truth = cf_word(r, "true")};
  case 'f': cf_word(r, "false"); return (cf_value){.kind = CF_BOOL};
  case 'n': cf_word(r, "null"); return (cf_value){0};
  }
  return cf_number(r);
}

/* cf_parse reads one JSON value and nothing after it. */
CF_FN cf_value cf_parse(cf_arena *arena, const void *p, size_t n, const char **wrong) {
  cf_reader r = {.p = p, .end = (const unsigned char *)p + n, .arena = arena};
  cf_value v = cf_json(&r);
  if (cf_peek(&r) >= 0) cf_wrong(&r, "JSON: more than one value");
  *wrong = r.wrong;
  return r.wrong ? (cf_value){0} : v;
}

/* ---- reading rows ---- */

CF_FN uint64_t cf_uvarint(cf_reader *r) {
  uint64_t v = 0;
  for (int shift = 0; shift < 64 && r->p < r->end; shift += 7) {
    uint64_t b = *r->p++;
    if (shift == 63 && b > 1) break;
    v |= (b & 0x7f) << shift;
    if (b < 0x80) return v;
  }
  cf_wrong(r, "a number that is cut off");
  return 0;
}

/* cf_length reads how many bytes, or items of a byte at least, follow. */
CF_FN size_t cf_length(cf_reader *r) {
  uint64_t n = cf_uvarint(r);
  if (n > (uint64_t)(r->end - r->p)) { cf_wrong(r, "a row that is cut off"); return 0; }
  return (size_t)n;
}

CF_FN cf_value cf_binary(cf_reader *r, const cf_value *shape) {
  cf_value v = {0};
  size_t n;
  switch (r->p < r->end ? *r->p++ : -1) {
  case 0: return v;
  case 1: return (cf_value){.kind = CF_BOOL};
  case 2: return (cf_value){.kind = CF_BOOL, .truth = true};
  case 3: {
    uint64_t u = cf_uvarint(r);
    return (cf_value){.kind = CF_INT, .integer = (int64_t)(u >> 1 ^ (0 - (u & 1)))};
  }
  case 4:
    if (r->end - r->p < 8) break;
    v.kind = CF_FLOAT;
    memcpy(&v.number, r->p, 8);
    r->p += 8;
    return v;
  case 5:
    n = cf_length(r);
    v = (cf_value){.kind = CF_TEXT, .text = {(const char *)r->p, n}};
    r->p += n;
    return v;
  case 6: {
    const char *wrong;
    n = cf_length(r);
    v = cf_parse(r->arena, r->p, n, &wrong);
    if (wrong) cf_wrong(r, wrong);
    r->p += r->wrong ? 0 : n;
    return v;
  }
  case 7: {
    const cf_value *keys = cf_at(shape, "keys"), *of = cf_at(shape, "of");
    const unsigned char *bits = r->p;
    if (keys->kind != CF_LIST || keys->n != of->n || (size_t)(r->end - r->p) < (keys->n + 7) / 8) break;
    r->p += (keys->n + 7) / 8;
    cf_text *names = cf_take(r->arena, keys->n, sizeof *names);
    v = (cf_value){.kind = CF_OBJECT, .items = cf_take(r->arena, keys->n, sizeof v), .keys = names};
    for (size_t k = 0; k < keys->n && !r->wrong; k++)
      if (bits[k / 8] >> k % 8 & 1) {
        names[v.n] = cf_as_text(&keys->items[k]);
        v.items[v.n] = cf_binary(r, &of->items[k]);
        v.n++;
      }
    return v;
  }
  case 8:
    n = cf_length(r);
    if (cf_at(shape, "elem")->kind != CF_OBJECT) break; /* so that lists nest no deeper than the schema */
    v = (cf_value){.kind = CF_LIST, .n = n, .items = cf_take(r->arena, n, sizeof v)};
    for (size_t k = 0; k < n && !r->wrong; k++) v.items[k] = cf_binary(r, cf_at(shape, "elem"));
    return v;
  }
  cf_wrong(r, "a value that is cut off or of an unknown kind");
  return v;
}

/* cf_rows streams an input. */
typedef struct {
  struct cf_run *run;
  const char *name;
  FILE *file;
  bool lines; /* of JSON, where the host gave no .rows */
  unsigned char *buffer;
  size_t room;
  cf_arena values, shapes;
  cf_value shape, row;
} cf_rows;

enum { CF_MAX_ROW = 32 << 20 };

CF_FN void cf_failed(struct cf_run *run, const char *name, const char *why);

CF_FN void cf_grow(cf_rows *in, size_t n) {
  if (n <= in->room) return;
  in->room = n < 4096 ? 4096 : n + n / 2;
  if (!(in->buffer = realloc(in->buffer, in->room))) cf_die("out of memory");
}

/* cf_frame reads a length and as many bytes. */
CF_FN bool cf_frame(cf_rows *in, size_t *size, const char **wrong) {
  unsigned char head[10];
  size_t n = 0;
  for (int c; n < sizeof head && (c = getc(in->file)) != EOF;)
    if ((head[n++] = (unsigned char)c) < 0x80) break;
  if (!n && !ferror(in->file)) return false; /* the end */
  cf_reader r = {.p = head, .end = head + n};
  uint64_t length = cf_uvarint(&r);
  if (r.wrong || length > CF_MAX_ROW) { *wrong = "a row that is cut off or too long"; return false; }
  cf_grow(in, *size = (size_t)length);
  if (fread(in->buffer, 1, *size, in->file) != *size) { *wrong = "a row that is cut off"; return false; }
  return true;
}

CF_FN bool cf_line(cf_rows *in, size_t *size, const char **wrong) {
  size_t n = 0;
  for (int c; (c = getc(in->file)) != EOF && (c != '\n' || !n);) {
    if (c == '\n') continue;
    if (n == CF_MAX_ROW) { *wrong = "a row that is too long"; return false; }
    cf_grow(in, n + 1);
    in->buffer[n++] = (unsigned char)c;
  }
  *size = n;
  return n > 0;
}

CF_FN void cf_close(cf_rows *in) {
  if (in->file) fclose(in->file);
  in->file = NULL;
}

CF_FN cf_rows cf_open(struct cf_run *run, const char *name) {
  cf_rows in = {.run = run, .name = name};
  const char *wrong = NULL;
  char magic[8];
  size_t size = 0;
  in.file = fopen(cf_cat(CF("/in/"), cf_of(name), CF(".rows")).p, "rb");
  if (!in.file) {
    in.file = fopen(cf_cat(CF("/in/"), cf_of(name), CF(".ndjson")).p, "rb");
    in.lines = true;
    return in; /* the index tells what it means when there is none */
  }
  if (fread(magic, 1, 8, in.file) != 8 || memcmp(magic, "CFROWS1\n", 8)) wrong = "no rows of version 1";
  else if (!cf_frame(&in, &size, &wrong)) wrong = "the schema is cut off";
  else in.shape = cf_parse(&in.shapes, in.buffer, size, &wrong);
  if (wrong) {
    cf_failed(run, name, wrong);
    cf_close(&in);
  }
  return in;
}

/* cf_unfold: an input without fields has its object under the key "". */
CF_FN const cf_value *cf_unfold(cf_rows *in) {
  const cf_value *own = cf_key(&in->row, CF(""));
  if (own->kind != CF_OBJECT) return &in->row;
  size_t n = 0, all = in->row.n + own->n;
  cf_value *items = cf_take(&in->values, all, sizeof *items);
  cf_text *keys = cf_take(&in->values, all, sizeof *keys);
  for (const cf_value *from = &in->row; from; from = from == own ? NULL : own)
    for (size_t i = 0; i < from->n; i++)
      if (from == own || from->keys[i].n) {
        keys[n] = from->keys[i];
        items[n++] = from->items[i];
      }
  in->row = (cf_value){.kind = CF_OBJECT, .n = n, .items = items, .keys = keys};
  return &in->row;
}

/* cf_next gives the next row, or NULL at the end. */
CF_FN const cf_value *cf_next(cf_rows *in) {
  const char *wrong = NULL;
  size_t size = 0;
  if (!in->file) return NULL;
  cf_clear(&in->values);
  if (in->lines ? cf_line(in, &size, &wrong) : cf_frame(in, &size, &wrong)) {
    if (in->lines) in->row = cf_parse(&in->values, in->buffer, size, &wrong);
    else {
      cf_reader r = {.p = in->buffer, .end = in->buffer + size, .arena = &in->values};
      in->row = cf_binary(&r, &in->shape);
      if (r.p != r.end && !r.wrong) r.wrong = "bytes after a row";
      wrong = r.wrong;
    }
    if (!wrong) return cf_unfold(in);
  }
  if (wrong || ferror(in->file)) cf_failed(in->run, in->name, wrong ? wrong : "it cannot be read");
  cf_close(in);
  return NULL;
}

/* ---- writing JSON ---- */

typedef struct { char *p; size_t n, room; bool comma; } cf_out;

CF_FN void cf_put(cf_out *o, const char *p, size_t n) {
  if (o->room - o->n < n) {
    if (n > SIZE_MAX / 4 - o->n) cf_die("out of memory");
    o->room = 2 * (o->n + n) + 256;
    if (!(o->p = realloc(o->p, o->room))) cf_die("out of memory");
  }
  if (n) memcpy(o->p + o->n, p, n);
  o->n += n;
}
CF_FN void cf_puts(cf_out *o, const char *s) { cf_put(o, s, strlen(s)); }

/* cf_rune tells the length of the character at p; 0 if it is none in UTF-8. */
CF_FN size_t cf_rune(const unsigned char *p, size_t n) {
  size_t size = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : (*p & 0xf0) == 0xe0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
  if (!size || size > n) return 0;
  for (size_t i = 1; i < size; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)) return 0;
  return size;
}

CF_FN void cf_quote(cf_out *o, cf_text t) {
  cf_puts(o, "\"");
  for (size_t i = 0, size; i < t.n; i += size ? size : 1) {
    const char *p = t.p + i;
    char hex[8];
    size = cf_rune((const unsigned char *)p, t.n - i);
    if (!size) cf_puts(o, "\xef\xbf\xbd"); /* as Go's encoder does */
    else if (*p == '"' || *p == '\\') { cf_puts(o, "\\"); cf_put(o, p, 1); }
    else if ((unsigned char)*p < 0x20) { snprintf(hex, sizeof hex, "\\u%04x", *p); cf_puts(o, hex); }
    else cf_put(o, p, size);
  }
  cf_puts(o, "\"");
}

CF_FN void cf_open_with(cf_out *o, const char *bracket) { cf_puts(o, bracket); o->comma = false; }
CF_FN void cf_close_with(cf_out *o, const char *bracket) { cf_puts(o, bracket); o->comma = true; }
CF_FN void cf_item(cf_out *o) {
  if (o->comma) cf_puts(o, ",");
  o->comma = true;
}
CF_FN void cf_name(cf_out *o, cf_text key) { cf_item(o); cf_quote(o, key); cf_puts(o, ":"); }
CF_FN void cf_text_field(cf_out *o, const char *key, cf_text t) {
  if (t.n) { cf_name(o, cf_of(key)); cf_quote(o, t); }
}
CF_FN void cf_put_int(cf_out *o, int64_t v) {
  char digits[24];
  snprintf(digits, sizeof digits, "%lld", (long long)v);
  cf_puts(o, digits);
}
CF_FN void cf_put_float(cf_out *o, double v) {
  char digits[40];
  snprintf(digits, sizeof digits, "%.17g", v);
  cf_puts(o, v - v == 0 ? digits : "null"); /* JSON has no infinity */
}
CF_FN void cf_int_field(cf_out *o, const char *key, int64_t v) {
  cf_name(o, cf_of(key));
  cf_put_int(o, v);
}
CF_FN void cf_write_value(cf_out *o, const cf_value *v) {
  switch (v->kind) {
  case CF_BOOL: cf_puts(o, v->truth ? "true" : "false"); break;
  case CF_INT: cf_put_int(o, v->integer); break;
  case CF_FLOAT: cf_put_float(o, v->number); break;
  case CF_TEXT: cf_quote(o, v->text); break;
  case CF_LIST:
    cf_open_with(o, "[");
    for (size_t i = 0; i < v->n; i++) { cf_item(o); cf_write_value(o, &v->items[i]); }
    cf_close_with(o, "]");
    break;
  default: cf_puts(o, "null");
  }
}
CF_FN void cf_print(cf_out *o) {
  cf_puts(o, "\n");
  fwrite(o->p, 1, o->n, stdout);
  free(o->p);
}

/* ---- findings ---- */

enum { CF_MAX_PARAMS = 64, CF_MAX_EVIDENCE = 64, CF_MAX_AFFECTED = 1000, CF_MAX_FINDINGS = 10000, CF_MAX_ALL_EVIDENCE = 100000, CF_MAX_FACTS = 10000, CF_MAX_REASON = 4000 };

typedef struct { cf_text kind, namespace, name, node, uid; } cf_subject;
typedef struct { cf_text key; cf_value value; } cf_param;

/* cf_evidence cites a row (at), or a place in a declared file (path with line
 * or packet, from 1). */
typedef struct { int64_t at; cf_text path, value; int64_t line, packet; bool moved; int64_t delta; double seconds; } cf_evidence;

/* cf_finding: only the subject has to be there. */
typedef struct {
  cf_text variant, severity, confidence, owner, first_seen, last_seen;
  cf_subject subject, peer;
  const cf_subject *affected;
  size_t affected_n, params_n, evidence_n;
  cf_param params[CF_MAX_PARAMS];
  cf_evidence evidence[CF_MAX_EVIDENCE];
} cf_finding;

CF_FN void cf_param_value(cf_finding *f, const char *key, cf_value v) {
  if (f->params_n < CF_MAX_PARAMS) f->params[f->params_n++] = (cf_param){cf_of(key), v};
}
CF_FN void cf_param_text(cf_finding *f, const char *key, cf_text t) { cf_param_value(f, key, (cf_value){.kind = CF_TEXT, .text = t}); }
CF_FN void cf_param_int(cf_finding *f, const char *key, int64_t n) { cf_param_value(f, key, (cf_value){.kind = CF_INT, .integer = n}); }
CF_FN void cf_param_float(cf_finding *f, const char *key, double n) { cf_param_value(f, key, (cf_value){.kind = CF_FLOAT, .number = n}); }

CF_FN void cf_evidence_add(cf_finding *f, cf_evidence e) {
  if (f->evidence_n < CF_MAX_EVIDENCE) f->evidence[f->evidence_n++] = e;
}
CF_FN void cf_cite(cf_finding *f, int64_t at) { cf_evidence_add(f, (cf_evidence){.at = at}); }
CF_FN void cf_cite_moved(cf_finding *f, int64_t at, int64_t delta, double seconds) {
  cf_evidence_add(f, (cf_evidence){.at = at, .moved = true, .delta = delta, .seconds = seconds});
}

/* ---- a run ---- */

typedef struct cf_run {
  const char *rule;
  const cf_value *config;
  size_t *findings, *evidence, *facts; /* what the module may still print */
  size_t found, dropped;
  cf_text failure, reason; /* of reading; of cf_unknown */
  bool unknown;
  cf_text missing[CF_MAX_PARAMS];
  size_t missing_n;
} cf_run;

/* cf_rule: an id that the declaration has, the inputs without which it cannot
 * be clear, separated by spaces, and what it does. */
typedef struct { const char *id, *needs; void (*run)(cf_run *); } cf_rule;

CF_FN void cf_failed(cf_run *run, const char *name, const char *why) {
  if (!run->failure.n) run->failure = cf_cat(CF("input "), cf_of(name), CF(": "), cf_of(why));
}

CF_FN cf_text cf_setting(cf_run *run, const char *name) { return cf_as_text(cf_key(cf_at(run->config, "settings"), cf_of(name))); }

/* cf_time is when the bundle was made, RFC 3339. */
CF_FN cf_text cf_time(cf_run *run) { return cf_text_at(run->config, "captureTime"); }

CF_FN cf_value cf_read_json(const char *path, cf_arena *arena, const char **wrong) {
  unsigned char *p = NULL;
  size_t n = 0, got;
  FILE *f = fopen(path, "rb");
  if (!f) { *wrong = "not there"; return (cf_value){0}; }
  do {
    if (n > (64 << 20) || !(p = realloc(p, n + (64 << 10)))) cf_die("a file that is too large");
    n += got = fread(p + n, 1, 64 << 10, f);
  } while (got);
  fclose(f);
  return cf_parse(arena, p, n, wrong); /* p stays: texts may point there */
}

CF_FN void cf_join(cf_text *to, cf_text reason) {
  if (!reason.n) return;
  *to = to->n ? cf_cat(*to, CF("; "), reason) : cf_keep(reason);
}

/* cf_missing tells whether an input is incomplete, and why. */
CF_FN bool cf_missing(cf_run *run, const char *name, cf_text *reason) {
  (void)run;
  cf_arena arena = {0};
  const char *wrong = NULL;
  const cf_value *all;
  cf_value index = cf_read_json(cf_cat(CF("/in/"), cf_of(name), CF(".index")).p, &arena, &wrong);
  *reason = CF("");
  if (!wrong && cf_bool_at(&index, "complete")) return false;
  size_t n = cf_items(cf_at(&index, "missing"), &all);
  for (size_t i = 0; i < n && i < 3; i++) {
    cf_text source = cf_text_at(&all[i], "source"), why = cf_text_at(&all[i], "reason");
    cf_join(reason, why.n ? cf_cat(source, CF(": "), why) : source);
  }
  if (n > 3) cf_join(reason, cf_cat(CF("and "), cf_decimal((int64_t)n - 3), CF(" more")));
  if (!n) *reason = wrong ? cf_cat(cf_of(name), CF(": "), cf_of(wrong)) : CF("incomplete");
  return true;
}

/* cf_files lists the paths of an input of files; open them below /bundle/. */
CF_FN size_t cf_files(cf_run *run, const char *name, const cf_value **paths) {
  cf_arena arena = {0};
  const char *wrong = NULL;
  cf_value *index = cf_array(1, sizeof *index);
  *index = cf_read_json(cf_cat(CF("/in/"), cf_of(name), CF(".index")).p, &arena, &wrong);
  if (wrong) cf_failed(run, name, wrong);
  return cf_items(cf_at(index, "files"), paths);
}

CF_FN bool cf_lacking(cf_run *run, cf_text name) {
  for (size_t i = 0; i < run->missing_n; i++)
    if (cf_same(run->missing[i], name)) return false;
  if (run->missing_n < CF_MAX_PARAMS) run->missing[run->missing_n++] = cf_keep(name);
  return true;
}

/* cf_unknown says that the rule could not tell, and for want of which input
 * (NULL for none); it counts only if the rule found nothing. The first stands. */
CF_FN void cf_unknown(cf_run *run, cf_text reason, const char *input) {
  if (run->unknown) return;
  run->unknown = true;
  run->reason = cf_keep(reason);
  if (input) cf_lacking(run, cf_of(input));
}

CF_FN void cf_write_subject(cf_out *o, const cf_subject *s) {
  cf_open_with(o, "{");
  cf_text_field(o, "kind", s->kind);
  cf_text_field(o, "namespace", s->namespace);
  cf_text_field(o, "name", s->name);
  cf_text_field(o, "node", s->node);
  cf_text_field(o, "uid", s->uid);
  cf_close_with(o, "}");
}

CF_FN void cf_write_evidence(cf_out *o, const cf_evidence *e) {
  cf_open_with(o, "{");
  if (e->at) cf_int_field(o, "at", e->at);
  cf_text_field(o, "path", e->path);
  if (e->line) cf_int_field(o, "line", e->line);
  if (e->packet) cf_int_field(o, "packet", e->packet);
  cf_text_field(o, "value", e->value);
  if (e->moved) {
    cf_int_field(o, "delta", e->delta);
    cf_name(o, CF("seconds"));
    cf_write_value(o, &(cf_value){.kind = CF_FLOAT, .number = e->seconds});
  }
  cf_close_with(o, "}");
}

CF_FN void cf_write_given(cf_out *o, const char *params, const cf_finding *f) {
  cf_name(o, cf_of(params));
  cf_open_with(o, "{");
  for (size_t i = 0; i < f->params_n; i++) { cf_name(o, f->params[i].key); cf_write_value(o, &f->params[i].value); }
  cf_close_with(o, "}");
  cf_name(o, CF("evidence"));
  cf_open_with(o, "[");
  for (size_t i = 0; i < f->evidence_n; i++) { cf_item(o); cf_write_evidence(o, &f->evidence[i]); }
  cf_close_with(o, "]");
  cf_close_with(o, "}");
  cf_print(o);
}

/* cf_find reports a finding. */
CF_FN void cf_find(cf_run *run, const cf_finding *f) {
  run->found++;
  if (!*run->findings || *run->evidence < f->evidence_n) { run->dropped++; return; }
  --*run->findings;
  *run->evidence -= f->evidence_n;
  cf_out o = {0};
  cf_open_with(&o, "{");
  cf_text_field(&o, "rule", cf_of(run->rule));
  cf_text_field(&o, "variant", f->variant);
  cf_text_field(&o, "severity", f->severity);
  cf_text_field(&o, "confidence", f->confidence);
  cf_text_field(&o, "owner", f->owner);
  cf_name(&o, CF("subject"));
  cf_write_subject(&o, &f->subject);
  if (f->peer.kind.n) { cf_name(&o, CF("peer")); cf_write_subject(&o, &f->peer); }
  if (f->affected_n) {
    cf_name(&o, CF("affected"));
    cf_open_with(&o, "[");
    for (size_t i = 0; i < f->affected_n && i < CF_MAX_AFFECTED; i++) { cf_item(&o); cf_write_subject(&o, &f->affected[i]); }
    cf_close_with(&o, "]");
  }
  cf_text_field(&o, "firstSeen", f->first_seen);
  cf_text_field(&o, "lastSeen", f->last_seen);
  cf_write_given(&o, "params", f);
}

/* cf_tell tells modules of scope cluster a fact of this node: the params of f
 * are the keys of the row that they see, and its evidence what they cite. The
 * declaration has the scope node, and the fact. */
CF_FN void cf_tell(cf_run *run, const char *fact, const cf_finding *f) {
  if (!*run->facts || *run->evidence < f->evidence_n) {
    if (!run->failure.n) run->failure = CF("more facts, or evidence, than a module may print");
    return;
  }
  --*run->facts;
  *run->evidence -= f->evidence_n;
  cf_out o = {0};
  cf_open_with(&o, "{");
  cf_text_field(&o, "fact", cf_of(fact));
  cf_write_given(&o, "value", f);
}

/* cf_conclude prints the outcome of a rule that has run. */
CF_FN void cf_conclude(cf_run *run, const char *needs) {
  cf_text said = run->failure;
  bool unknown = run->failure.n || run->unknown;
  if (run->found && run->dropped)
    cf_join(&said, cf_cat(cf_decimal((int64_t)run->dropped), CF(" more findings were left out: a module may report "), cf_decimal(CF_MAX_FINDINGS)));
  if (!run->found) {
    cf_text reasons = run->reason, seen[CF_MAX_PARAMS] = {run->reason};
    size_t seen_n = 1;
    for (const char *p = needs; *p;) {
      size_t n = strcspn(p, " ");
      cf_text name = cf_keep((cf_text){p, n}), reason;
      if (n && cf_missing(run, name.p, &reason)) {
        unknown = true;
        cf_lacking(run, name);
        bool again = false;
        for (size_t i = 0; i < seen_n; i++) again = again || cf_same(seen[i], reason);
        if (!again) cf_join(&reasons, reason);
        if (seen_n < CF_MAX_PARAMS) seen[seen_n++] = reason;
      }
      p += p[n] ? n + 1 : n;
    }
    if (!said.n) said = reasons;
  }
  if (said.n > CF_MAX_REASON)
    for (said.n = CF_MAX_REASON; said.n && (said.p[said.n] & 0xc0) == 0x80;) said.n--;
  cf_out o = {0};
  cf_open_with(&o, "{");
  cf_text_field(&o, "rule", cf_of(run->rule));
  cf_text_field(&o, "outcome", cf_of(run->found ? "found" : unknown ? "unknown" : "clear"));
  cf_text_field(&o, "reason", said);
  if (!run->found && run->missing_n) {
    cf_name(&o, CF("missing"));
    cf_open_with(&o, "[");
    for (size_t i = 0; i < run->missing_n; i++) { cf_item(&o); cf_quote(&o, run->missing[i]); }
    cf_close_with(&o, "]");
  }
  cf_close_with(&o, "}");
  cf_print(&o);
  fflush(stdout); /* what came before a rule that kills the module is printed */
}

/* cf_main does what argv[1] says. */
CF_FN int cf_main(int argc, char **argv, const char *declaration, const cf_rule *rules, size_t n) {
  const char *verb = argc > 1 ? argv[1] : "", *wrong = NULL;
  if (!strcmp(verb, "describe")) return puts(declaration) < 0;
  if (strcmp(verb, "analyze")) cf_die("want the argument describe or analyze");
  cf_arena arena = {0};
  cf_value config = cf_read_json("/config.json", &arena, &wrong);
  if (wrong && strcmp(wrong, "not there")) cf_die(wrong);
  size_t findings = CF_MAX_FINDINGS, evidence = CF_MAX_ALL_EVIDENCE, facts = CF_MAX_FACTS;
  for (size_t i = 0; i < n; i++) {
    cf_run run = {.rule = rules[i].id, .config = &config, .findings = &findings, .evidence = &evidence, .facts = &facts};
    rules[i].run(&run);
    cf_conclude(&run, rules[i].needs);
  }
  return ferror(stdout);
}

#endif
