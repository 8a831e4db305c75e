/* The reference module in C, see ../go. */
#include "casefile.h"

static const char declaration[] = CF_JSON(
{
  "abi": [1, 1], "name": "conformance", "version": "1.0.0", "doc": "Repeats what it reads.",
  "scope": "node", "facts": [{"fact": "conformance/row"}],
  "rules": [{"id": "conformance/echo", "severity": "info", "layer": "node", "text": {
    "en": {"title": "A row", "message": "i {i}, f {f}, b {b}, a {a}, n {n}", "remediation": ["Nothing: it is a row."], "doc": "Finds every row."},
    "zh": {"title": "一行", "message": "i {i}, f {f}, b {b}, a {a}, n {n}", "remediation": ["无需处理。"], "doc": "报告每一行。"}
  }}],
  "inputs": [{"name": "rows", "table": "nodes/*/conformance.ndjson", "form": "rows", "fields": ["s", "i", "f", "b", "o.a", "l[].n"]}]
}
);

static void echo(cf_run *run) {
  cf_rows rows = cf_open(run, "rows");
  for (const cf_value *r; (r = cf_next(&rows));) {
    const cf_value *list;
    size_t n = cf_items(cf_at(r, "l"), &list);
    cf_text numbers = CF("");
    for (size_t i = 0; i < n; i++) numbers = cf_cat(numbers, i ? CF(",") : CF(""), cf_decimal(cf_int_at(&list[i], "n")));
    cf_text name = cf_text_at(r, "s");
    cf_finding f = {.subject = {.kind = CF("Row"), .name = name.n ? name : CF("-"), .node = cf_text_at(r, "_node")}};
    cf_param_int(&f, "i", cf_int_at(r, "i"));
    cf_param_float(&f, "f", cf_float_at(r, "f"));
    cf_param_value(&f, "b", (cf_value){.kind = CF_BOOL, .truth = cf_bool_at(r, "b")});
    cf_param_text(&f, "a", cf_text_at(r, "o.a"));
    cf_param_text(&f, "n", numbers);
    cf_cite(&f, cf_int_at(r, "_at"));
    cf_find(run, &f);
    f.params_n = 1; /* i alone */
    cf_tell(run, "conformance/row", &f);
  }
}

int main(int argc, char **argv) {
  static const cf_rule rules[] = {{.id = "conformance/echo", .needs = "rows", .run = echo}};
  return cf_main(argc, argv, declaration, rules, 1);
}
