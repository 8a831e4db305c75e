//! The reference module in Rust, see ../go.

#[path = "../../../../sdk/rust/casefile.rs"]
mod casefile;

use casefile::{at, Error, Finding, Rule, Run, Subject};

fn main() {
    casefile::main(include_str!("declaration.json"), &[Rule { id: "conformance/echo", needs: &["rows"], run: echo }]);
}

fn echo(run: &mut Run) -> Result<(), Error> {
    let mut rows = run.rows("rows")?;
    while let Some(r) = rows.next()? {
        let numbers: Vec<String> = r.list("l").iter().map(|l| l.int("n").to_string()).collect();
        let name = if r.text("s").is_empty() { "-" } else { r.text("s") };
        run.find(Finding {
            subject: Subject { node: r.text("_node").into(), ..Subject::new("Row", "", name) },
            params: vec![
                ("i", r.int("i").into()),
                ("f", r.float("f").into()),
                ("b", r.bool("b").into()),
                ("a", r.text("o.a").to_string().into()),
                ("n", numbers.join(",").into()),
            ],
            evidence: vec![at(r.int("_at"))],
            ..Finding::default()
        });
        run.tell("conformance/row", &[("i", r.int("i").into())], &[at(r.int("_at"))])?;
    }
    Ok(())
}
