//! __NAME__ is an analyzer for Casefile. It runs as WebAssembly and sees nothing
//! but what declaration.json says. casefile.rs tells the rest.

mod casefile;

use casefile::{at, Error, Finding, Rule, Run, Subject, Value};

const TOO_MANY: i64 = 2; // restarts

fn main() {
    casefile::main(
        include_str!("declaration.json"),
        &[Rule { id: "__NAME__/restarts", needs: &["pods"], run: restarts }],
    );
}

fn restarts(run: &mut Run) -> Result<(), Error> {
    let mut pods = run.rows("pods")?;
    while let Some(p) = pods.next()? {
        let (namespace, name) = (p.text("metadata.namespace"), p.text("metadata.name"));
        for c in p.list("status.containerStatuses") {
            if c.int("restartCount") < TOO_MANY {
                continue;
            }
            run.find(Finding {
                subject: Subject { node: p.text("spec.nodeName").into(), ..Subject::new("Pod", namespace, name) },
                params: vec![
                    ("namespace", namespace.to_string().into()),
                    ("pod", name.to_string().into()),
                    ("container", c.text("name").to_string().into()),
                    ("restarts", Value::Int(c.int("restartCount"))),
                ],
                evidence: vec![at(p.int("_at"))],
                ..Finding::default()
            });
        }
    }
    Ok(())
}
