/* __NAME__ is an analyzer for Casefile. It runs as WebAssembly and sees nothing
 * but what declaration.h says. casefile.h tells the rest. */
#include "casefile.h"

static const char declaration[] =
#include "declaration.h"
    ;

enum { too_many = 2 }; /* restarts */

static void restarts(cf_run *run) {
  cf_rows pods = cf_open(run, "pods");
  for (const cf_value *p; (p = cf_next(&pods));) {
    const cf_value *containers;
    size_t n = cf_items(cf_at(p, "status.containerStatuses"), &containers);
    for (size_t i = 0; i < n; i++) {
      int64_t count = cf_int_at(&containers[i], "restartCount");
      if (count < too_many) continue;
      cf_finding f = {.subject = {.kind = CF("Pod"), .namespace = cf_text_at(p, "metadata.namespace"), .name = cf_text_at(p, "metadata.name"),
                                  .node = cf_text_at(p, "spec.nodeName")}};
      cf_param_text(&f, "namespace", f.subject.namespace);
      cf_param_text(&f, "pod", f.subject.name);
      cf_param_text(&f, "container", cf_text_at(&containers[i], "name"));
      cf_param_int(&f, "restarts", count);
      cf_cite(&f, cf_int_at(p, "_at"));
      cf_find(run, &f);
    }
  }
}

int main(int argc, char **argv) {
  static const cf_rule rules[] = {{.id = "__NAME__/restarts", .needs = "pods", .run = restarts}};
  return cf_main(argc, argv, declaration, rules, sizeof rules / sizeof *rules);
}
