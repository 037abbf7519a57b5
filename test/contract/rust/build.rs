//! Lists the generated types, which Rust cannot do while it runs: every message of the stubs by where it is in them.
use std::{env, fs, path::Path};

fn main() {
    let rows = list(Path::new("../src")).concat();
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("types.rs"), format!("[{rows}].into()")).unwrap();
}

/// A file has the name of its package, and what is inside of a message is in a module of that message's name.
fn list(path: &Path) -> Vec<String> {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().flat_map(|entry| list(&entry.unwrap().path())).collect();
    }
    let mut modules = vec![path.file_stem().unwrap().to_str().unwrap().replace('.', "::")];
    let (mut rows, mut is_message) = (Vec::new(), false);
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        let depth = (line.len() - line.trim_start().len()) / 4;
        match line.trim().split([' ', '{']).collect::<Vec<_>>()[..] {
            ["pub", "mod", name, ..] => modules = [&modules[..=depth], &[name.to_string()]].concat(),
            ["pub", "struct", name, ..] if is_message => {
                rows.push(format!("row::<stator_stubs::{}::{name}>(),\n", modules[..=depth].join("::")));
            }
            _ => {}
        }
        is_message = line.contains("::prost::Message)");
    }
    rows
}
