//! Every block of code that the README and the pages below docs/ show is run, and says what they say.

#[path = "support/installed.rs"]
mod installed;
#[path = "support/library.rs"]
mod library;
#[path = "support/page.rs"]
mod page;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use installed::built;
use page::{Block, blocks, commands, is_as_promised};
use program::{ROOT, is_installed, link, succeed};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Page, how the section begins, languages, and the test that runs them.
const RUN_BY: [(&str, &str, &[&str], &str); 13] = [
    ("README.md", "**C**", &["c"], "tests/docs.rs"),
    ("README.md", "**C++**", &["cpp"], "tests/docs.rs"),
    ("README.md", "## ", &["json"], "tests/docs.rs"),
    ("README.md", "### Keys on the command line", &["sh"], "tests/docs.rs"),
    ("README.md", "**The least rights**", &[""], "tests/redis_acl.rs"),
    ("README.md", "**Python**", &["python"], "bindings/python/tests/test_docs.py"),
    ("README.md", "**A key vault.**", &["python"], "bindings/python/tests/test_docs.py"),
    ("README.md", "**", &["csharp"], "bindings/dotnet"),
    ("docs/c.md", "## ", &["c", "cmake", "console"], "tests/docs.rs"),
    ("docs/cpp.md", "## ", &["cpp", "cmake", "console"], "tests/docs.rs"),
    ("docs/python.md", "## ", &["python", "text", "console"], "bindings/python/tests/test_docs.py"),
    ("docs/migrating.md", "## From msal-ext", &["python", "text"], "bindings/python/tests/test_docs.py"),
    ("docs/dotnet.md", "## ", &["csharp", "diff", "json", "sh", "text", "xml"], "bindings/dotnet"),
];

#[test]
fn every_block_is_run_by_a_test_or_says_why_not() {
    let pages = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let mut pages: Vec<_> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    pages.retain(|page| page.ends_with(".md"));
    let pages = pages.iter().map(|page| format!("docs/{page}")).chain(["README.md".to_owned()]);
    for path in pages {
        for block in blocks(&path) {
            let is_run = |(page, section, languages, _): &&(&str, &str, &[&str], &str)| {
                path == *page && block.is_in(section) && languages.contains(&&*block.language)
            };
            let runner = RUN_BY.iter().find(is_run);
            assert!(
                runner.is_some() != block.excuse.is_some(),
                "{path}:{}: a block is run, or a line before it says `<!-- not run: why -->`",
                block.line
            );
            if let Some((_, _, _, test)) = runner {
                assert!(Path::new(ROOT).join(test).exists(), "{test} is to run the blocks of {path}");
            }
        }
    }
}

#[test]
fn a_page_that_a_package_takes_along_points_at_no_file_that_it_leaves_behind() {
    for page in ["docs/dotnet.md", "docs/python.md"] {
        let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let lost: Vec<_> =
            links.filter(|link| !link.starts_with("https://") && !link.starts_with('#')).collect();
        assert!(lost.is_empty(), "{page}: {lost:?}");
    }
}

#[test]
fn the_page_of_c_can_be_followed() {
    follow("docs/c.md", "cc");
}

#[test]
fn the_page_of_cpp_can_be_followed() {
    follow("docs/cpp.md", "c++");
}

/// Does what the page says, in a home of its own: writes its files, types its commands.
fn follow(path: &str, compiler: &str) {
    for tool in [compiler, "make", "pkg-config"] {
        if !is_installed(tool) {
            println!("skipped: {tool} is not installed");
            return;
        }
    }
    let (home, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let built = built(&scratch.path().join("built")).to_owned();
    let mut exports = String::new();
    for block in blocks(path) {
        if let Some(file) = &block.file {
            fs::write(home.path().join(file), &block.text).unwrap();
            continue;
        }
        assert_eq!(block.language, "console", "{path}:{}: which file is it?", block.line);
        if block.text.contains("cmake") && !is_installed("cmake") {
            println!("skipped: cmake is not installed");
            continue;
        }
        for (command, promised) in commands(&block) {
            if command.starts_with("export ") {
                exports += &format!("{command}\n");
                continue;
            }
            // What is tested has been built already, by cargo's own means.
            let make = "make() { command make --no-print-directory -s -C \"$TESTED\" -o build RELEASE=\"$BUILT\" \"$@\"; }";
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("{make}\n{exports}\n{command}")]).current_dir(home.path());
            shell.env("HOME", home.path()).env("TESTED", ROOT).env("BUILT", &built);
            shell.env_remove("TOKENCACHE_LIBRARY").env_remove("MAKEFLAGS");
            says(path, &block, command, &mut shell, &promised);
        }
    }
}

fn says(path: &str, block: &Block, command: &str, shell: &mut Command, promised: &str) {
    let ended = shell.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success() && is_as_promised(&said, promised),
        "{path}:{}: {command}\nsaid\n{said}\nand not\n{promised}",
        block.line
    );
}

/// The only block of the README that is of this language, in that section.
fn of_the_readme(section: &str, language: &str) -> Block {
    let is_it = |block: &Block| block.is_in(section) && block.language == language;
    let mut found: Vec<_> = blocks("README.md").into_iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{section} has one block of {language}");
    found.remove(0)
}

/// A program of the block, in what stands around it in an application.
fn in_a_program(block: &Block, head: &str, before: &str, after: &str) -> String {
    let (includes, body): (Vec<_>, Vec<_>) =
        block.text.lines().partition(|line| line.starts_with("#include"));
    let (includes, body) = (includes.join("\n"), body.join("\n"));
    format!(
        "{includes}\n{head}\nint main() {{\n{before}\n#line {} \"README.md\"\n{body}\n{after}\n}}\n",
        block.line + 1
    )
}

fn compiled_it_says(mut compiler: Command, source: &str, program: &str, promised: &str) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(source);
    fs::write(&file, program).unwrap();
    let mut run = Command::new(link(compiler.arg(&file), folder.path()));
    let ended = run.current_dir(folder.path()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(String::from_utf8_lossy(&ended.stdout), promised);
}

#[test]
fn the_minute_in_c_runs() {
    let program = in_a_program(
        &of_the_readme("**C**", "c"),
        "#include <stdio.h>\n#include <string.h>\n\
         static void use(const void *data, size_t len) { printf(\"%.*s\\n\", (int)len, (const char *)data); }",
        "const char *token = \"made-up-token\";\nconst size_t token_len = strlen(token);",
        "return 0;",
    );
    compiled_it_says(program::c(), "minute.c", &program, "made-up-token\n");
}

#[test]
fn the_minute_in_cpp_runs() {
    if !is_installed("c++") {
        println!("skipped: c++ is not installed");
        return;
    }
    let program = in_a_program(
        &of_the_readme("**C++**", "cpp"),
        "#include <iostream>\n\
         static void use(std::string_view bytes) { std::cout << bytes << '\\n'; }\n\
         static void retry() { std::cout << \"somebody was faster\\n\"; }",
        "const char* config = R\"({\"version\": 1})\";\nconst std::string token = \"made-up-token\", newer = \"newer\";",
        "use(cache.get(\"alice\")->view());",
    );
    compiled_it_says(program::cpp("c++", "c++17"), "minute.cpp", &program, "made-up-token\nnewer\n");
}

#[test]
fn the_documents_of_the_readme_are_taken() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("redis"), "made up\n").unwrap();
    let ring = folder.path().join("tokencache-keyring.json");
    succeed(Command::new(env!("CARGO_BIN_EXE_tokencache")).args(["keys", "generate", "-o"]).arg(&ring));
    let documents: Vec<_> =
        blocks("README.md").into_iter().filter(|block| block.language == "json").collect();
    assert!(!documents.is_empty());
    for block in documents {
        let text = block.text.replace("/run/secrets", &folder.path().display().to_string());
        let whole = match text.trim_start().starts_with('{') {
            true => text,
            // A member of one.
            false => format!("{{ \"version\": 1, {text} }}"),
        };
        let config = folder.path().join("config.json");
        fs::write(&config, &whole).unwrap();
        let document: Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(document["version"], json!(1), "README.md:{}", block.line);
        let taken = tokencache::config::Config::parse(whole.as_bytes());
        assert!(taken.is_ok(), "README.md:{}: {:?}", block.line, taken.err());
    }
}

#[test]
fn the_rotation_of_the_readme_can_be_typed() {
    let folder = TempDir::new().unwrap();
    let path = std::env::join_paths(
        [Path::new(env!("CARGO_BIN_EXE_tokencache")).parent().unwrap().to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let block = of_the_readme("### Keys on the command line", "sh");
    let mut last = String::new();
    for line in block.text.lines().filter(|line| !line.starts_with('#')) {
        // The ids of the page are made up: those of this ring are known when it is there.
        let ids = ids(&folder.path().join("ring.json"));
        let line = line.replace("22bd04ee", &ids[1]).replace("7f3a9c01", &ids[0]);
        let mut shell = Command::new("bash");
        shell.args(["-euc", &line]).current_dir(folder.path()).env("PATH", &path);
        let ended = shell.output().unwrap();
        let complaint = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "README.md:{}: {line}\n{complaint}", block.line);
        last = String::from_utf8_lossy(&ended.stdout).into_owned();
        // "Copy to every machine": the other one.
        fs::copy(folder.path().join("ring.json"), folder.path().join("theirs.json")).unwrap();
    }
    assert_eq!(last, "hello", "what was protected is opened");
}

/// The first letters of the ids of a ring, in its order; the last one again where there is one alone.
fn ids(ring: &Path) -> [String; 2] {
    let Ok(text) = fs::read(ring) else { return Default::default() };
    let ring: Value = serde_json::from_slice(&text).unwrap();
    let ids: Vec<_> = ring["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["id"].as_str().unwrap()[..8].to_owned())
        .collect();
    [ids[0].clone(), ids[ids.len() - 1].clone()]
}

#[test]
fn a_promise_is_compared_with_all_that_was_said() {
    for (said, promised, is_kept) in [
        ("token\n", "token", true),
        ("token, from L1", "token", false),
        ("from /a/lib.so", "from /…/lib.so", true),
        ("one\ntwo\nthree", "one\n…\nthree", true),
        ("one\ntwo", "one\n…\nthree", false),
        ("anything", "…", true),
        ("", "…", true),
        ("abc", "ab…bc", false),
    ] {
        assert_eq!(is_as_promised(said, promised), is_kept, "{said:?} {promised:?}");
    }
}
