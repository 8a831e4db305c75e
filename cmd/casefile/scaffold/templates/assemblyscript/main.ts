// __NAME__ is an analyzer for Casefile. It runs as WebAssembly and sees nothing
// but what declaration.ts says. casefile.ts tells the rest.

import { Finding, Rule, Run, Subject, at, int, main, text } from "./casefile";
import { declaration } from "./declaration";

const TOO_MANY: i64 = 2; // restarts

function restarts(run: Run): void {
  const pods = run.rows("pods");
  while (pods.next()) {
    const p = pods.row;
    const containers = p.list("status.containerStatuses");
    for (let i = 0; i < containers.length; i++) {
      const c = containers[i];
      if (c.int("restartCount") < TOO_MANY) continue;
      const f = new Finding(new Subject("Pod", p.text("metadata.namespace"), p.text("metadata.name"), p.text("spec.nodeName")));
      f.params.set("namespace", text(f.subject.namespace));
      f.params.set("pod", text(f.subject.name));
      f.params.set("container", text(c.text("name")));
      f.params.set("restarts", int(c.int("restartCount")));
      f.evidence.push(at(p.int("_at")));
      run.find(f);
    }
  }
}

main(declaration, [new Rule("__NAME__/restarts", ["pods"], restarts)]);
