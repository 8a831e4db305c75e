//! The smallest module: one rule, always clear. It uses nothing but the ABI.
//!
//!     rustc --edition 2021 --target wasm32-wasi -C opt-level=s -C lto=fat -C panic=abort -C strip=symbols -o hello.wasm main.rs
//!
//! (Since Rust 1.78 the target's name is wasm32-wasip1.)

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("describe") => println!(
            "{}",
            r#"{"abi":[1,1],"name":"hello","version":"1.0.0","rules":[{"id":"hello/world","severity":"info","layer":"app","text":{"en":{"title":"Hello","message":"Hello"}}}]}"#
        ),
        Some("analyze") => println!("{}", r#"{"rule":"hello/world","outcome":"clear"}"#),
        _ => std::process::exit(1),
    }
}
