//! `cargo xtask setup`: installs what building, checking and testing memtrace needs and this
//! machine lacks.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::deploy::validate;
use crate::toolchain::{self, BPF_LINKER_VERSION, LLVM_BIN, NIGHTLY, Nightly};
use crate::{musl, process, workspace};

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub struct Args {
    /// Install nothing; print the commands that would, and fail if there are any.
    #[arg(long)]
    check: bool,
}

/// `llvm-strip`, and the headers and libraries that bpf-linker is built against.
const LLVM_STRIP_PACKAGES: [&str; 1] = ["llvm-22"];
const BPF_LINKER_PACKAGES: [&str; 5] = [
    "llvm-22",
    "llvm-22-dev",
    "libpolly-22-dev",
    "zlib1g-dev",
    "libzstd-dev",
];

/// What the live suite scrapes the agent with, and checks its rules.
const PROMETHEUS_PACKAGES: [&str; 1] = ["prometheus"];

/// A C compiler for static binaries: the cryptography of TLS is partly C.
const MUSL_PACKAGES: [&str; 1] = ["musl-tools"];

/// What judges the image.
const IMAGE_PACKAGES: [&str; 2] = ["skopeo", "umoci"];
/// What runs real containers: `ctr` comes with containerd, busybox is their root file system.
const CONTAINER_PACKAGES: [&str; 3] = ["containerd", "runc", "busybox-static"];
/// What the userspace paths' instructions are counted with.
const VALGRIND_PACKAGES: [&str; 1] = ["valgrind"];

/// Something that is missing, and the commands that install it.
struct Missing {
    /// What, and why it counts as missing.
    what: String,
    commands: Vec<Command>,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    if args.check {
        let missing = missing();
        if missing.is_empty() {
            return Ok(());
        }
        bail!("{}", instructions(&missing));
    }
    install()
}

/// Installs what is missing; quick when nothing is. The error holds the commands to run by hand
/// where this process may not run them.
pub fn install() -> Result<()> {
    let missing = missing();
    let installs_packages = missing
        .iter()
        .flat_map(|missing| &missing.commands)
        .any(needs_root);
    if installs_packages && !may_install_packages() {
        bail!("{}", instructions(&missing));
    }
    for Missing { what, commands } in missing {
        eprintln!("setup: {what}");
        for mut command in commands {
            eprintln!("setup: running `{}`", process::line(&command));
            let Err(error) = process::run(&mut command) else {
                continue;
            };
            // Without the pinned nightly an installed one will do, if it is fit for it.
            match Nightly::find() {
                Ok(nightly) if is_nightly_install(&command) => {
                    eprintln!(
                        "setup: {error:#}; using {} ({})",
                        nightly.name, nightly.rustc
                    );
                }
                _ => return Err(error).with_context(|| format!("while installing: {what}")),
            }
        }
    }
    toolchain::Toolchain::find().map(drop)
}

/// What is missing, in the order in which it has to be installed.
fn missing() -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut add = |what: String, commands: Vec<Command>| missing.push(Missing { what, commands });

    let lacking: Vec<_> = [("rustfmt", "fmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(_, subcommand)| {
            process::stdout(Command::new("cargo").args([subcommand, "--version"])).is_err()
        })
        .map(|(component, _)| component)
        .collect();
    if !lacking.is_empty() {
        add(
            format!("the toolchain lacks {}", lacking.join(" and ")),
            vec![command("rustup component add", &lacking)],
        );
    }
    if let Err(error) = Nightly::pinned() {
        let install = "rustup toolchain install --profile minimal --component rust-src";
        add(format!("{error:#}"), vec![command(install, &[NIGHTLY])]);
    }
    let bpf_linker = toolchain::find_bpf_linker();
    let packages: &[_] = match (&bpf_linker, toolchain::find_llvm_strip()) {
        (Ok(_), Ok(_)) => &[],
        (Ok(_), Err(_)) => &LLVM_STRIP_PACKAGES,
        (Err(_), _) => &BPF_LINKER_PACKAGES,
    };
    let install = "apt-get install --yes --no-install-recommends";
    if !packages.is_empty() && !all_installed(packages) {
        add(
            format!("Debian packages of {}", packages.join(", ")),
            // Old package lists name files that the mirrors no longer have.
            vec![command("apt-get update", &[]), command(install, packages)],
        );
    }
    if let Err(error) = bpf_linker {
        add(format!("{error:#}"), vec![install_bpf_linker()]);
    }
    if process::find("promtool", &[]).is_none() {
        add(
            "the live suite lacks Prometheus and its promtool".to_owned(),
            vec![
                command("apt-get update", &[]),
                command(install, &PROMETHEUS_PACKAGES),
            ],
        );
    }
    if !musl::has_target() {
        add(
            "the toolchain lacks the target of static binaries".to_owned(),
            vec![command("rustup target add", &[musl::TARGET])],
        );
    }
    if process::find("musl-gcc", &[]).is_none() {
        add(
            "the image and the guests' binaries lack a C compiler for musl".to_owned(),
            vec![
                command("apt-get update", &[]),
                command(install, &MUSL_PACKAGES),
            ],
        );
    }
    if IMAGE_PACKAGES
        .iter()
        .any(|name| process::find(name, &[]).is_none())
    {
        add(
            "the tests lack skopeo and umoci, which judge the image".to_owned(),
            vec![
                command("apt-get update", &[]),
                command(install, &IMAGE_PACKAGES),
            ],
        );
    }
    if ["ctr", "busybox"]
        .iter()
        .any(|name| process::find(name, &[]).is_none())
    {
        add(
            "the live suite lacks containerd and busybox, for real containers".to_owned(),
            vec![
                command("apt-get update", &[]),
                command(install, &CONTAINER_PACKAGES),
            ],
        );
    }
    if validate::validator().is_none() {
        add(
            "the tests lack kubernetes-validate, which has the schemas of Kubernetes".to_owned(),
            validate::installation(),
        );
    }
    if process::find("valgrind", &[]).is_none() {
        add(
            "the instruction counts lack valgrind".to_owned(),
            vec![
                command("apt-get update", &[]),
                command(install, &VALGRIND_PACKAGES),
            ],
        );
    }
    missing
}

/// `cargo install` of the pinned bpf-linker against Debian's LLVM.
fn install_bpf_linker() -> Command {
    let mut install = command(
        "cargo install bpf-linker --locked --no-default-features --features llvm-22 --version",
        &[BPF_LINKER_VERSION],
    );
    // An older bpf-linker may be in the way; and llvm-sys looks for llvm-config on the path.
    install.arg("--force");
    let path = env::var_os("PATH").unwrap_or_default();
    let with_llvm = [Path::new(LLVM_BIN).to_owned()]
        .into_iter()
        .chain(env::split_paths(&path));
    if let Ok(path) = env::join_paths(with_llvm) {
        install.env("PATH", path);
    }
    // Not in the workspace, whose settings are not bpf-linker's.
    if let Some(home) = workspace::cargo_home() {
        install.current_dir(home);
    }
    install
}

/// The commands that install what is `missing`, for a person to run.
fn instructions(missing: &[Missing]) -> String {
    let mut text = String::from("this machine lacks what memtrace's build needs; please run:\n");
    for Missing { what, commands } in missing {
        let comment = what.lines().next().unwrap_or_default();
        text.push_str(&format!("\n# {comment}\n"));
        for command in commands {
            let prefix = if needs_root(command) {
                "sudo ".to_owned()
            } else if command.get_envs().any(|(name, _)| name == "PATH") {
                format!("PATH={LLVM_BIN}:$PATH ")
            } else {
                String::new()
            };
            text.push_str(&format!("{prefix}{}\n", process::line(command)));
        }
    }
    text
}

/// A command of `words` (split at blanks) and `more` arguments.
fn command(words: &str, more: &[&str]) -> Command {
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).args(more);
    command
}

fn needs_root(command: &Command) -> bool {
    command.get_program() == "apt-get"
}

fn is_nightly_install(command: &Command) -> bool {
    command.get_args().any(|argument| argument == NIGHTLY)
}

/// Whether this is root on a machine with apt.
fn may_install_packages() -> bool {
    rustix::process::geteuid().is_root() && process::find("apt-get", &[]).is_some()
}

/// Whether dpkg has all of `packages` installed.
fn all_installed(packages: &[&str]) -> bool {
    let query = ["--show", "--showformat", "${db:Status-Status}\\n"];
    process::stdout(Command::new("dpkg-query").args(query).args(packages))
        .is_ok_and(|states| states.lines().all(|state| state == "installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_can_be_pasted_into_a_shell() {
        let missing = [
            Missing {
                what: "Debian packages of llvm-22".to_owned(),
                commands: vec![command("apt-get install --yes", &["llvm-22"])],
            },
            Missing {
                what: "no bpf-linker\nat all".to_owned(),
                commands: vec![install_bpf_linker()],
            },
        ];
        let text = instructions(&missing);
        assert!(
            text.contains("\n# Debian packages of llvm-22\nsudo apt-get install --yes llvm-22\n")
        );
        assert!(text.contains(
            "\n# no bpf-linker\nPATH=/usr/lib/llvm-22/bin:$PATH cargo install bpf-linker "
        ));
        assert!(!text.contains("at all"));
    }

    #[test]
    fn packages_that_do_not_exist_are_not_installed() {
        assert!(!all_installed(&["memtrace-no-such-package"]));
    }
}
