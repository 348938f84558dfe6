//! What `make install` puts into a tree builds and runs programs from that tree alone.

#[path = "support/installed.rs"]
mod installed;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use installed::built;
use program::{ROOT, is_installed, succeed};
use tempfile::TempDir;

const PREFIX: &str = "/opt/tokencache";
const COMMANDS: [&str; 10] =
    ["generate", "show", "check", "stage", "activate", "retire", "revoke", "wrap", "protect", "unprotect"];
const OPTIONS: [&str; 8] =
    ["ring", "to", "unwrap-key", "reveal-material", "longest-ttl", "prefix", "key", "force"];

/// A tree into which the library was installed, for `/opt/tokencache`.
struct Tree {
    folder: TempDir,
}

impl Tree {
    fn new(settings: &[(&str, &str)]) -> Tree {
        let folder = TempDir::new().unwrap();
        let mut install = Command::new(Path::new(ROOT).join("tools/install"));
        install.arg(built(&folder.path().join("built"))).env("PREFIX", PREFIX).env("DESTDIR", folder.path());
        succeed(install.envs(settings.iter().copied()));
        Tree { folder }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(&PREFIX[1..]).join(below)
    }

    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// Runs the first programs of the examples, as `build` builds them: the source, the compiler, the program.
    fn builds(&self, build: impl Fn(&Path, &str, &Path)) {
        for (source, compiler) in [("examples/c/hello.c", "cc"), ("examples/cpp/hello.cpp", "c++")] {
            if !is_installed(compiler) {
                println!("skipped: {compiler} is not installed");
                continue;
            }
            let here = TempDir::new().unwrap();
            // From a copy: beside the original lies the source tree.
            let copy = here.path().join(Path::new(source).file_name().unwrap());
            fs::copy(Path::new(ROOT).join(source), &copy).unwrap();
            let program = here.path().join("hello");
            build(&copy, compiler, &program);
            let mut run = Command::new(&program);
            succeed(run.current_dir(here.path()).env("LD_LIBRARY_PATH", self.path("lib")));
        }
    }
}

#[test]
fn a_program_is_built_with_what_pkg_config_says() {
    if !is_installed("pkg-config") {
        println!("skipped: pkg-config is not installed");
        return;
    }
    let tree = Tree::new(&[]);
    let ask = |arguments: &[&str]| {
        let mut tool = Command::new("pkg-config");
        tool.env("PKG_CONFIG_PATH", tree.path("lib/pkgconfig"));
        tool.env("PKG_CONFIG_SYSROOT_DIR", tree.folder.path());
        let said = tool.args(arguments).arg("tokencache").output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    };
    assert_eq!(ask(&["--modversion"]).trim(), env!("CARGO_PKG_VERSION"));
    for is_static in [false, true] {
        let flags =
            if is_static { ask(&["--cflags", "--libs", "--static"]) } else { ask(&["--cflags", "--libs"]) };
        tree.builds(|source, compiler, program| {
            let mut command = Command::new(compiler);
            command.arg(source).args(flags.split_whitespace()).arg("-o").arg(program);
            if is_static {
                // The linker takes the shared one where both are there.
                fs::remove_file(tree.path("lib/libtokencache.so")).ok();
            }
            succeed(&mut command);
        });
    }
}

#[test]
fn a_program_is_built_with_cmake() {
    if !is_installed("cmake") {
        println!("skipped: cmake is not installed");
        return;
    }
    let tree = Tree::new(&[]);
    for target in ["tokencache", "static"] {
        tree.builds(|source, _, program| {
            let here = source.parent().unwrap();
            let (name, language) = match source.extension().unwrap().to_str() {
                Some("c") => ("hello.c", "C"),
                _ => ("hello.cpp", "CXX"),
            };
            fs::write(
                here.join("CMakeLists.txt"),
                format!(
                    "cmake_minimum_required(VERSION 3.13)\nproject(hello {language})\nset(CMAKE_CXX_STANDARD 17)\n\
                     find_package(tokencache 1 REQUIRED)\nadd_executable(hello {name})\n\
                     target_link_libraries(hello PRIVATE tokencache::{target})\n"
                ),
            )
            .unwrap();
            let mut configure = Command::new("cmake");
            configure.current_dir(here).args(["-S", ".", "-B", "build"]);
            succeed(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", tree.path("").display())));
            succeed(Command::new("cmake").current_dir(here).args(["--build", "build"]));
            fs::rename(here.join("build/hello"), program).unwrap();
        });
    }
    let here = TempDir::new().unwrap();
    fs::write(
        here.path().join("CMakeLists.txt"),
        "cmake_minimum_required(VERSION 3.13)\nproject(none NONE)\nfind_package(tokencache 2 REQUIRED)\n",
    )
    .unwrap();
    let mut configure = Command::new("cmake");
    configure.current_dir(here.path()).args(["-S", ".", "-B", "build"]);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", tree.path("").display()));
    let said = configure.output().unwrap();
    assert!(!said.status.success(), "another generation of the ABI was accepted");
}

#[test]
fn the_library_may_lie_where_a_distribution_keeps_its_own() {
    let tree = Tree::new(&[("LIBDIR", "/opt/tokencache/lib/x86_64-linux-gnu")]);
    let config = tree.read("lib/x86_64-linux-gnu/cmake/tokencache/tokencache-config.cmake");
    assert!(config.contains("\"${_tokencache_lib}/../..\" ABSOLUTE"), "{config}");
    let pc = tree.read("lib/x86_64-linux-gnu/pkgconfig/tokencache.pc");
    assert!(pc.contains("libdir=/opt/tokencache/lib/x86_64-linux-gnu\n"), "{pc}");
    assert!(tree.path("lib/x86_64-linux-gnu/libtokencache.so.1").exists());
}

#[test]
fn the_manual_page_and_the_completions_know_every_command_and_option() {
    let tree = Tree::new(&[]);
    let help = |arguments: &[&str]| {
        let said = Command::new(tree.path("bin/tokencache")).args(arguments).output().unwrap();
        assert!(said.status.success());
        String::from_utf8(said.stdout).unwrap()
    };
    let main = help(&["--help"]);
    let all: String = COMMANDS.iter().map(|command| help(&["keys", command, "--help"])).collect();
    // The lists above are the program's own.
    let listed = main.lines().skip_while(|line| !line.starts_with("Commands")).skip(1);
    let listed: Vec<_> =
        listed.map_while(|line| line.trim().split(' ').next().filter(|word| !word.is_empty())).collect();
    assert!(listed.iter().all(|command| COMMANDS.contains(command)), "{listed:?}");
    let said = all.split(|character: char| !character.is_ascii_lowercase() && character != '-');
    for option in said.filter_map(|word| word.strip_prefix("--")).filter(|word| !word.is_empty()) {
        assert!(OPTIONS.contains(&option) || option == "help" || option == "raw", "--{option}");
    }

    let page = tree.read("share/man/man1/tokencache.1");
    assert!(page.contains(&format!("Tokencache {}", env!("CARGO_PKG_VERSION"))));
    let completions = [
        ("bash", tree.read("share/bash-completion/completions/tokencache")),
        ("zsh", tree.read("share/zsh/site-functions/_tokencache")),
        ("fish", tree.read("share/fish/vendor_completions.d/tokencache.fish")),
    ];
    for command in COMMANDS {
        assert!(page.contains(&format!(".It Cm {command}\n")), "{command}");
        assert!(completions.iter().all(|(_, text)| text.contains(command)), "{command}");
    }
    for option in OPTIONS {
        assert!(page.contains(&format!("Fl -{option}")), "{option}");
        for (shell, text) in &completions {
            let written = if *shell == "fish" { format!("-l {option}") } else { format!("--{option}") };
            assert!(text.contains(&written), "{shell}: {option}");
        }
    }
    for (shell, text) in &completions {
        if !is_installed(shell) {
            println!("skipped: {shell} is not installed");
            continue;
        }
        let file = tree.path(shell);
        fs::write(&file, text).unwrap();
        succeed(Command::new(shell).arg("-n").arg(&file));
    }
    if is_installed("groff") {
        let mut groff = Command::new("groff");
        let said =
            groff.args(["-mdoc", "-ww", "-Tascii", "-z"]).arg(tree.path("share/man/man1/tokencache.1"));
        let said = said.output().unwrap();
        assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    } else {
        println!("skipped: groff is not installed");
    }
}

#[test]
fn the_schema_of_the_configuration_and_the_license_are_installed() {
    let committed = fs::read_to_string(Path::new(ROOT).join("packaging/config.schema.json")).unwrap();
    let tree = Tree::new(&[]);
    assert_eq!(tree.read("share/tokencache/config.schema.json"), committed);
    assert!(tree.read("share/doc/tokencache/LICENSE").contains("MIT"));
}

#[test]
fn a_prefix_that_means_another_place_in_each_folder_is_refused() {
    for name in ["PREFIX", "LIBDIR", "INCLUDEDIR"] {
        let folder = TempDir::new().unwrap();
        let mut install = Command::new(Path::new(ROOT).join("tools/install"));
        install.arg(built(&folder.path().join("built"))).env("DESTDIR", folder.path().join("tree"));
        let said = install.env("PREFIX", PREFIX).env(name, "here").output().unwrap();
        assert_eq!(said.status.code(), Some(2), "{name}");
        assert!(String::from_utf8_lossy(&said.stderr).ends_with("not here.\n"), "{name}");
        assert!(!folder.path().join("tree").exists(), "{name}");
    }
}

#[test]
fn the_shell_completes_commands_and_options() {
    let tree = Tree::new(&[]);
    let complete = |words: &str, at: usize| {
        let script = format!(
            ". {}; COMP_WORDS=({words}); COMP_CWORD={at}; _tokencache 2>/dev/null; printf '%s ' \"${{COMPREPLY[@]}}\"",
            tree.path("share/bash-completion/completions/tokencache").display()
        );
        let said = Command::new("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("tokencache k", 1), "keys");
    assert_eq!(complete("tokencache keys re", 2), "retire revoke");
    assert_eq!(complete("tokencache keys protect --p", 3), "--prefix");
    assert_eq!(complete("tokencache keys show --ring", 3), "", "it does not take it");
}
