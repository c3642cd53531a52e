//! Commands that really run, in cgroups of this machine. They need root, and say so when they
//! are skipped.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, getpid, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use tokio::time::Instant;

use super::{CommandError, Ended, Running, Signals, Waited, wait_empty};
use crate::cgroup::{live::Home, name_of_process};

/// Runs a program to its end, and looks that no cgroup stays behind.
async fn run(home: &Home, program: &OsStr, arguments: &[&str]) -> Result<Ended, CommandError> {
    let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
    let mut signals = Signals::install().unwrap();
    let cgroup = home.own_cgroup();
    let directory = cgroup.cgroup().directory.clone();
    let ended = match Running::start(program, &arguments, &cgroup) {
        Ok(mut running) => running.wait(&mut signals).await,
        Err(error) => Err(error),
    };
    cgroup.remove().unwrap();
    assert!(!directory.exists());
    assert!(home.children().is_empty());
    ended
}

async fn shell(home: &Home, script: &str) -> Ended {
    run(home, "sh".as_ref(), &["-c", script]).await.unwrap()
}

/// Waits until a command has written to a file.
async fn until_written(path: &Path) {
    while fs::metadata(path).unwrap().len() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Kills a process that a test left alive, after a look at its name.
fn kill(pid: &str, name: &str) {
    let pid: i32 = pid.trim().parse().unwrap();
    assert_eq!(
        name_of_process(pid.try_into().unwrap()).as_deref(),
        Some(name)
    );
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn ends_are_told_apart() {
    let Some(home) = Home::new("ends") else {
        return;
    };
    assert_eq!(
        run(&home, "true".as_ref(), &[]).await.unwrap().exit_code(),
        0
    );
    assert_eq!(shell(&home, "exit 7").await, Ended::Exited { code: 7 });
    assert_eq!(shell(&home, "exit 255").await.exit_code(), 255);
    let killed = shell(&home, "kill -9 $$").await;
    assert_eq!(
        (killed, killed.exit_code()),
        (Ended::Killed { signal: 9 }, 137)
    );
    assert_eq!(shell(&home, "kill -TERM $$").await.exit_code(), 143);
}

#[tokio::test]
async fn what_cannot_be_executed() {
    let Some(home) = Home::new("exec") else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let plain = scratch.path().join("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    let orphan = scratch.path().join("orphan");
    fs::write(&orphan, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&orphan, fs::Permissions::from_mode(0o755)).unwrap();

    let absent = scratch.path().join("absent");
    for (program, code, advice) in [
        (Path::new("memtrace-no-such-program"), 127, "PATH"),
        (&absent, 127, "check the path"),
        (&orphan, 127, "interpreter"),
        (&plain, 126, "chmod +x"),
        (scratch.path(), 126, "executable"),
    ] {
        let error = run(&home, program.as_os_str(), &[]).await.unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[tokio::test]
async fn a_failed_move_is_not_the_programs_fault() {
    let Some(home) = Home::new("join") else {
        return;
    };
    let cgroup = home.own_cgroup();
    fs::remove_dir(&cgroup.cgroup().directory).unwrap();
    let error = Running::start("true".as_ref(), &[], &cgroup).unwrap_err();
    assert!(matches!(error, CommandError::Join { .. }), "{error}");
    assert_eq!(error.exit_code(), 125);
    cgroup.remove().unwrap();
}

#[tokio::test]
async fn the_command_is_in_the_cgroup_from_its_first_instruction() {
    let Some(home) = Home::new("first") else {
        return;
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let cgroup = home.own_cgroup();
    let path = cgroup.cgroup().path.clone();
    // cp is the very program that memtrace executes: no shell moves before it.
    let arguments = ["/proc/self/cgroup".into(), file.path().into()];
    let mut running = Running::start("cp".as_ref(), &arguments, &cgroup).unwrap();
    let pid = running.pid();
    assert_ne!(pid, std::process::id());
    let ended = running
        .wait(&mut Signals::install().unwrap())
        .await
        .unwrap();
    assert_eq!(ended.code(), Some(0));
    let seen = fs::read_to_string(file.path()).unwrap();
    assert!(seen.lines().any(|line| line.ends_with(&path)), "{seen}");
    cgroup.remove().unwrap();
}

#[tokio::test]
async fn cgroups_that_the_command_made_are_removed_too() {
    let Some(home) = Home::new("nested") else {
        return;
    };
    let cgroup = home.own_cgroup();
    let directory = cgroup.cgroup().directory.clone();
    let script = "mkdir -p $0/a/b && sleep 0.3 & mkdir $0/c && echo $! > $0/c/cgroup.procs";
    let arguments = ["-c".into(), script.into(), directory.clone().into()];
    let mut signals = Signals::install().unwrap();
    let mut running = Running::start("sh".as_ref(), &arguments, &cgroup).unwrap();
    assert_eq!(running.wait(&mut signals).await.unwrap().exit_code(), 0);
    assert_eq!(
        wait_empty(&cgroup, None, &mut signals).await.unwrap(),
        Waited::Empty
    );
    cgroup.remove().unwrap();
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_daemon_is_waited_for_named_and_left_alive() {
    let Some(home) = Home::new("daemon") else {
        return;
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    // Its pid is told once it has its own name: on a slow machine it is the shell for a while.
    let script = "sleep 60 > /dev/null 2>&1 & \
                  until [ \"$(cat /proc/$!/comm)\" = sleep ]; do sleep 0.02; done; echo $! > $0";
    let arguments: [OsString; 3] = ["-c".into(), script.into(), file.path().into()];
    let mut signals = Signals::install().unwrap();
    for released in [true, false] {
        let cgroup = home.own_cgroup();
        let directory = cgroup.cgroup().directory.clone();
        let mut running = Running::start("sh".as_ref(), &arguments, &cgroup).unwrap();
        assert_eq!(running.wait(&mut signals).await.unwrap().exit_code(), 0);
        let pid = fs::read_to_string(file.path()).unwrap();

        let soon = Instant::now() + Duration::from_millis(100);
        let waited = wait_empty(&cgroup, Some(soon), &mut signals).await.unwrap();
        assert_eq!(waited, Waited::TimeUp);
        assert!(Instant::now() >= soon);
        if released {
            let left = cgroup.release().unwrap();
            assert_eq!(left, [(pid.trim().parse().unwrap(), "sleep".to_owned())]);
            assert!(cgroup.processes().unwrap().is_empty());
            cgroup.remove().unwrap();
        } else {
            // A memtrace that fails cleans up on its way out.
            drop(cgroup);
        }
        assert!(!directory.exists());
        assert_eq!(home.pids(), pid);
        kill(&pid, "sleep");
    }
}

#[test]
fn signals_are_passed_on() {
    if Home::new("signals").is_none() {
        return;
    }
    // Signals go to whole processes, so this one gets a process of its own.
    let output = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("command::live::signals_in_a_process_of_their_own")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[tokio::test]
#[ignore = "sends signals to its own process: run by `signals_are_passed_on`"]
async fn signals_in_a_process_of_their_own() {
    let Some(home) = Home::new("own-process") else {
        return;
    };
    let ready = tempfile::NamedTempFile::new().unwrap();
    let mut signals = Signals::install().unwrap();
    for (signal, name, code) in [
        (Signal::TERM, "TERM", 41),
        (Signal::HUP, "HUP", 42),
        (Signal::INT, "INT", 43),
        (Signal::QUIT, "QUIT", 44),
    ] {
        fs::write(ready.path(), "").unwrap();
        let script = format!("trap 'exit {code}' {name}; echo > $0; while :; do sleep 0.02; done");
        let arguments = ["-c".into(), script.into(), ready.path().into()];
        let cgroup = home.own_cgroup();
        let mut running = Running::start("sh".as_ref(), &arguments, &cgroup).unwrap();
        until_written(ready.path()).await;
        kill_process(getpid(), signal).unwrap();
        let ended = running.wait(&mut signals).await.unwrap();
        assert_eq!(ended.exit_code(), code, "{name}");

        // Somebody who is tired of waiting for a daemon.
        let mut daemon = Running::start("sleep".as_ref(), &["60".into()], &cgroup).unwrap();
        kill_process(getpid(), signal).unwrap();
        let waited = wait_empty(&cgroup, None, &mut signals).await.unwrap();
        assert_eq!(waited, Waited::Interrupted(signal));
        kill(&daemon.pid().to_string(), "sleep");
        assert_eq!(daemon.wait(&mut signals).await.unwrap().exit_code(), 137);
        cgroup.remove().unwrap();
    }
}

#[test]
fn ctrl_c_in_a_terminal_is_not_passed_on() {
    if Home::new("ctrl-c").is_none() {
        return;
    }
    let mut keyboard = fs::File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap();
    let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    // setsid(1) makes its standard input the controlling terminal.
    let mut inner = Command::new("setsid")
        .arg("--ctty")
        .arg(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("command::live::ctrl_c_in_a_terminal_of_its_own")
        .stdin(terminal.try_clone().unwrap())
        .stdout(terminal.try_clone().unwrap())
        .stderr(terminal)
        .spawn()
        .unwrap();
    // A terminal that nobody has open any more reads as EIO; a test that fails ends like that.
    let mut screen = BufReader::new(keyboard.try_clone().unwrap());
    let mut text = String::new();
    while !text.contains("type now") && screen.read_line(&mut text).is_ok_and(|read| read > 0) {}
    assert!(text.contains("type now"), "{text}");
    keyboard.write_all(b"\x03").unwrap();
    _ = screen.read_to_string(&mut text);
    assert!(inner.wait().unwrap().success(), "{text}");
}

#[tokio::test]
#[ignore = "needs a terminal: run by `ctrl_c_in_a_terminal_is_not_passed_on`"]
async fn ctrl_c_in_a_terminal_of_its_own() {
    let Some(home) = Home::new("terminal") else {
        return;
    };
    let mut signals = Signals::install().unwrap();
    let mut witness = Signals::install().unwrap();
    let cgroup = home.own_cgroup();
    let alive = tempfile::NamedTempFile::new().unwrap();
    // In a session of its own the command gets nothing from the terminal: what it got would be
    // what memtrace passed on. It says when it is there, and ends when it is told to, however slow
    // the machine is.
    let script = "echo > $0; while [ -s $0 ]; do sleep 0.02; done";
    let arguments = ["sh", "-c", script, alive.path().to_str().unwrap()].map(OsString::from);
    let mut running = Running::start("setsid".as_ref(), &arguments, &cgroup).unwrap();
    until_written(alive.path()).await;
    let caught = async {
        println!("type now");
        let caught = witness.next().await;
        // Time for what must not happen.
        tokio::time::sleep(Duration::from_millis(200)).await;
        fs::write(alive.path(), "").unwrap();
        caught
    };
    let (ended, caught) = tokio::join!(running.wait(&mut signals), caught);
    assert_eq!(ended.unwrap(), Ended::Exited { code: 0 });
    assert_eq!(caught, Signal::INT);
    cgroup.remove().unwrap();
}
