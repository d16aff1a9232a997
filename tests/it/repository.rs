//! What a machine can check about the repository itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// Everything in back-ticks in ARCHITECTURE.md that looks like a path exists, and everything that
/// looks like a symbol (`file.rs: name`, `Type::name`, `Type`) is somewhere in the sources.
#[test]
fn architecture_names_only_what_is_there() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut files = Vec::new();
    for folder in [
        "cli",
        "api",
        "worker",
        "entity",
        "migration",
        "jobs",
        "wechatpay",
        "simulator",
        "testkit",
        "tests",
        "bench",
        "chaos",
    ] {
        rust_files(&root().join(folder), &mut files);
    }
    let sources: String = files.iter().map(|file| fs::read_to_string(file).expect("a source")).collect();
    let mut checked = 0;
    let mut in_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        for (at, name) in line.split('`').enumerate() {
            if at % 2 == 0 || name.contains(' ') {
                continue;
            }
            let is_path = name.contains('/') && !name.starts_with('/') && !name.contains(['{', '<', ':']);
            let is_symbol = name.chars().next().is_some_and(|first| first.is_alphabetic())
                && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':')
                && (name.contains('_') || name.contains("::") || name.chars().any(char::is_uppercase));
            if is_path
                || [".rs", ".toml", ".md", ".sh", ".txt", ".json"].iter().any(|end| name.ends_with(end))
            {
                assert!(root().join(name).exists(), "ARCHITECTURE.md names {name}, which is not there");
                checked += 1;
            } else if is_symbol {
                for part in name.split("::") {
                    assert!(
                        sources.contains(part),
                        "ARCHITECTURE.md names {name}, which is not in the sources"
                    );
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "only {checked} names were found; is the text still about the code?");
}

/// The walls: who may depend on whom.
#[test]
fn dependencies_run_one_way() {
    let ours = ["everpaid", "api", "worker", "entity", "migration", "jobs", "wechatpay", "simulator"];
    let allowed: [(&str, &[&str]); 8] = [
        ("cli", &ours),
        ("api", &["entity", "jobs", "migration", "wechatpay"]),
        ("worker", &["entity", "jobs", "wechatpay"]),
        ("jobs", &["entity"]),
        ("entity", &[]),
        ("migration", &[]),
        ("wechatpay", &[]),
        ("simulator", &[]),
    ];
    for (folder, may_use) in allowed {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next());
        for line in dependencies.expect("dependencies").lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(!ours.contains(&name) || may_use.contains(&name), "{folder} must not use {name}");
        }
    }
}

/// The api holds no private key and changes no status; one file does.
#[test]
fn words_that_must_not_cross_a_wall() {
    let forbidden = [
        ("api/src", "PrivateKey"),
        ("api/src", "ApiV3Key"),
        ("api/src", ".decrypt("),
        ("api/src", "Client::new"),
        ("jobs/src", "wechat"),
        ("entity/src", "reqwest"),
        ("worker/src/handlers", "status = Set"),
        ("worker/src/handlers", "status: Set"),
    ];
    for (folder, word) in forbidden {
        let mut files = Vec::new();
        rust_files(&root().join(folder), &mut files);
        assert!(!files.is_empty(), "{folder} is empty");
        for file in files {
            let source = fs::read_to_string(&file).expect("a source");
            assert!(!source.contains(word), "{} contains {word}", file.display());
        }
    }
}

/// A job is one word in four spellings.
#[test]
fn every_job_has_its_handler_file() {
    for kind in jobs::Kind::ALL {
        let file = root().join("worker/src/handlers").join(format!("{}.rs", kind.name()));
        assert!(file.exists(), "{} is missing", file.display());
        assert_eq!(jobs::Kind::from_name(kind.name()), Some(kind));
    }
}
