// The reference module in AssemblyScript, see ../go.

import { Finding, Rule, Run, Subject, Value, at, float, int, main, text, truth } from "../../../../sdk/assemblyscript/casefile";

const declaration = `{
  "abi": [1, 1], "name": "conformance", "version": "1.0.0", "doc": "Repeats what it reads.",
  "scope": "node", "facts": [{"fact": "conformance/row"}],
  "rules": [{"id": "conformance/echo", "severity": "info", "layer": "node", "text": {
    "en": {"title": "A row", "message": "i {i}, f {f}, b {b}, a {a}, n {n}", "remediation": ["Nothing: it is a row."], "doc": "Finds every row."},
    "zh": {"title": "一行", "message": "i {i}, f {f}, b {b}, a {a}, n {n}", "remediation": ["无需处理。"], "doc": "报告每一行。"}
  }}],
  "inputs": [{"name": "rows", "table": "nodes/*/conformance.ndjson", "form": "rows", "fields": ["s", "i", "f", "b", "o.a", "l[].n"]}]
}`;

function echo(run: Run): void {
  const rows = run.rows("rows");
  while (rows.next()) {
    const r = rows.row;
    const list = r.list("l");
    const numbers: string[] = [];
    for (let i = 0; i < list.length; i++) numbers.push(list[i].int("n").toString());
    const name = r.text("s");
    const f = new Finding(new Subject("Row", "", name.length ? name : "-", r.text("_node")));
    f.params.set("i", int(r.int("i")));
    f.params.set("f", float(r.float("f")));
    f.params.set("b", truth(r.bool("b")));
    f.params.set("a", text(r.text("o.a")));
    f.params.set("n", text(numbers.join(",")));
    f.evidence.push(at(r.int("_at")));
    run.find(f);
    const told = new Map<string, Value>();
    told.set("i", int(r.int("i")));
    run.tell("conformance/row", told, [at(r.int("_at"))]);
  }
}

main(declaration, [new Rule("conformance/echo", ["rows"], echo)]);
