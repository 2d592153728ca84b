//! What the documents name is there: tests, files and settings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every file under `dir` with this ending, build folders left out.
fn files(dir: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                files(&path, ending, into);
            }
        } else if path.extension().is_some_and(|found| found == ending) {
            into.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between single backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2))
}

fn is_word(text: &str, also: &[char]) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(&c))
}

#[test]
fn operators_guides_name_tests_and_files_that_exist() {
    let root = root();
    let (mut sources, mut guides) = (Vec::new(), Vec::new());
    files(&root, "rs", &mut sources);
    files(&root.join("docs"), "md", &mut guides);
    let mut functions = BTreeSet::new();
    for source in &sources {
        for rest in read(source).split("fn ").skip(1) {
            functions.insert(rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("").to_owned());
        }
    }
    let mut missing = Vec::new();
    for guide in &guides {
        for word in quoted(&read(guide)) {
            let word = word.trim();
            // A test's name is a sentence, perhaps after its module and binary; shorter names are columns, metrics and
            // members.
            let name = word.rsplit([' ', ':', '\n']).next().unwrap_or_default();
            let sentence = is_word(name, &['_']) && name.matches('_').count() >= 4;
            let metric = name.starts_with("certctl_") || name.starts_with("process_");
            if sentence && !metric && !functions.contains(name) {
                missing.push(format!("{}: no test {name}", guide.display()));
            }
            let in_tree = ["core/", "ports/", "adapters/", "app/", "tests/", "scripts/", "migrations/"];
            let path = is_word(word, &['/', '.', '_', '-']) && in_tree.iter().any(|room| word.starts_with(room));
            if path && !root.join(word).exists() {
                missing.push(format!("{}: no file {word}", guide.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn guides_name_settings_that_the_server_knows() {
    let root = root();
    let known = read(&root.join("docs/configuration.md"));
    let mut guides = Vec::new();
    files(&root.join("docs/operator"), "md", &mut guides);
    let mut missing = Vec::new();
    for guide in &guides {
        for word in quoted(&read(guide)) {
            let Some(name) = word.strip_prefix("CERTCTL_") else { continue };
            let name = name.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).next();
            let name = name.unwrap_or_default().trim_end_matches('_');
            // Those of the tests themselves are read by no server.
            if !name.starts_with("TEST_")
                && !known.contains(&format!("CERTCTL_{name}"))
                && !known.contains(&format!("`{name}`"))
            {
                missing.push(format!("{}: CERTCTL_{name}", guide.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The ids at the beginning of a test's name: `tf_22_tf_23_…` and `sh_01_02_03_…` name several.
fn rows_named(function: &str) -> Vec<String> {
    let (mut family, mut rows) = ("", Vec::new());
    for part in function.split('_') {
        if part.len() == 2 && part.bytes().all(|octet| octet.is_ascii_digit()) {
            rows.push(format!("{}-{part}", family.to_ascii_uppercase()));
        } else if part.len() == 2 && rows.len().min(1) == usize::from(!family.is_empty()) {
            family = part;
        } else {
            break;
        }
    }
    rows
}

#[test]
fn every_row_of_the_threats_to_signing_in_has_a_test_that_is_named_after_it() {
    let root = root();
    let mut sources = Vec::new();
    files(&root, "rs", &mut sources);
    let mut named = BTreeSet::new();
    for source in &sources {
        let text = read(source);
        let functions = text.split("fn ").skip(1);
        named.extend(functions.filter_map(|rest| rest.split('(').next()).flat_map(rows_named));
    }
    let page = read(&root.join("docs/operator/sign-in-threats.md"));
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(|id| id.len() == 5 && id.as_bytes()[2] == b'-')
        .collect();
    assert!(rows.len() >= 125, "the page lost rows: {}", rows.len());
    let missing: Vec<&&str> = rows.iter().filter(|row| !named.contains(**row)).collect();
    assert!(missing.is_empty(), "no test is named after {missing:?}");
}
