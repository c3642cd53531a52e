use std::{
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    process::{Child, Command, Stdio},
};

use memtrace_tests::skip;

use super::*;
use crate::input::FileId;

/// What the kernel side would say of a file that this process sees.
fn event(path: &Path) -> FileEvent {
    let path = path.canonicalize().unwrap();
    let own = MountNamespace::read(Path::new("/proc/self")).unwrap();
    let mount = own.table.mount_of(path.to_str().unwrap()).unwrap();
    let inside = path.strip_prefix(&mount.mount_point).unwrap();
    FileEvent {
        id: FileId {
            device: mount.device,
            inode: path.metadata().unwrap().ino(),
            generation: 0,
        },
        fs_path: Path::new(&mount.root).join(inside).to_str().unwrap().into(),
        fstype: mount.fstype.clone(),
        truncated: false,
        deleted: false,
    }
}

/// Whether a test may make mounts, in a mount namespace of its own.
fn may_mount(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip(test, "mounting needs root");
    }
    is_root
}

fn locator() -> FileLocator {
    FileLocator::new(&[std::process::id()]).unwrap()
}

#[test]
fn a_file_is_found_until_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.log");
    fs::write(&path, "x").unwrap();
    let file = event(&path);
    let mut locator = locator();
    let found = locator.locate(&file);
    assert_eq!(found.path.as_deref(), path.to_str());
    assert!(!found.deleted);

    // Another file takes its name.
    let other = folder.path().join("other");
    fs::write(&other, "y").unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(locator.locate(&file).deleted);

    fs::remove_file(&path).unwrap();
    let found = locator.locate(&file);
    assert_eq!(found.path.as_deref(), path.to_str());
    assert!(found.deleted);
}

#[test]
fn a_file_without_a_path_has_none() {
    let known = event(Path::new("/proc/self/exe"));
    let file = |fs_path: &str, truncated| FileEvent {
        fs_path: fs_path.into(),
        truncated,
        deleted: true,
        ..known.clone()
    };
    let mut locator = locator();
    for (file, deleted) in [
        (file("memfd:cache", false), false),
        (file("dev/zero", false), false),
        (file("deep/t.log", true), false),
        (file("", false), false),
        (
            FileEvent {
                id: FileId {
                    device: u32::MAX,
                    ..known.id
                },
                ..file("/x", false)
            },
            true,
        ),
    ] {
        let found = locator.locate(&file);
        assert_eq!((found.path, found.container_path), (None, None));
        assert_eq!(found.deleted, deleted, "{}", file.fs_path);
    }
}

#[test]
fn without_a_live_process_own_mounts_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.log");
    fs::write(&path, "x").unwrap();
    // Pids end well below this: `PID_MAX_LIMIT`, include/linux/threads.h.
    let mut locator = FileLocator::new(&[u32::MAX]).unwrap();
    let found = locator.locate(&event(&path));
    assert_eq!(found.path.as_deref(), path.to_str());
}

#[test]
fn without_proc_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = FileLocator::with_proc(folder.path(), &[1]).unwrap_err();
    assert!(error.to_string().contains("ns/mnt"), "{error}");
}

/// A process in a mount namespace of its own, ended with the test.
struct Container(Child);

impl Container {
    /// Runs `setup` in a new mount namespace, then waits.
    fn start(folder: &Path, setup: &str) -> Self {
        let mut child = Command::new("unshare")
            .args([
                "-m",
                "sh",
                "-ec",
                &format!("{setup}\necho ready\nexec sleep 60"),
            ])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 6];
        let out = child.stdout.as_mut().unwrap();
        out.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"ready\n");
        Self(child)
    }

    fn locator(&self) -> FileLocator {
        FileLocator::new(&[self.0.id()]).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn layers(folder: &Path) {
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    fs::write(folder.join("lower/old"), "old").unwrap();
    fs::write(folder.join("lower/removed"), "removed").unwrap();
    fs::write(folder.join("upper/new"), "new").unwrap();
}

#[test]
fn an_overlay_as_root_directory_gives_the_path_inside() {
    if !may_mount("an_overlay_as_root_directory_gives_the_path_inside") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    layers(folder);
    let container = Container::start(
        folder,
        "mount -t overlay overlay -o lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work merged
         rm merged/removed
         for dir in usr lib lib64 bin proc; do
             [ ! -e /$dir ] || { mkdir -p merged/$dir && mount --rbind /$dir merged/$dir; }
         done
         mkdir merged/put_old && cd merged && pivot_root . put_old && umount -l /put_old",
    );
    let mut locator = container.locator();
    for (layer, inside) in [("upper/new", "/new"), ("lower/old", "/old")] {
        let found = locator.locate(&event(&folder.join(layer)));
        assert_eq!(found.container_path.as_deref(), Some(inside));
        assert_eq!(found.path.as_deref(), Some(inside));
        assert!(!found.deleted, "{layer}");
    }
    // The lower file is still there, but the container has removed it.
    let found = locator.locate(&event(&folder.join("lower/removed")));
    assert_eq!(found.path.as_deref(), Some("/removed"));
    assert!(found.deleted);

    // Names stay known when the process has ended; nothing is called deleted for that.
    let file = event(&folder.join("upper/new"));
    drop(container);
    locator.watch(&[]);
    let found = locator.locate(&file);
    assert_eq!(found.path.as_deref(), Some("/new"));
    assert!(!found.deleted);
}

#[test]
fn an_overlay_beside_its_layers_gives_both_paths() {
    if !may_mount("an_overlay_beside_its_layers_gives_both_paths") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    layers(folder);
    let container = Container::start(
        folder,
        "mount -t overlay overlay -o lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work merged",
    );
    for name in ["upper/new", "lower/old"] {
        let layer = folder.join(name);
        let merged = folder.join("merged").join(layer.file_name().unwrap());
        let found = container.locator().locate(&event(&layer));
        assert_eq!(found.path.as_deref(), layer.to_str());
        assert_eq!(found.container_path.as_deref(), merged.to_str());
        assert!(!found.deleted);
    }
}

#[test]
fn a_bind_mount_is_named_as_the_target_sees_it() {
    if !may_mount("a_bind_mount_is_named_as_the_target_sees_it") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("volume")).unwrap();
    fs::create_dir(folder.join("cache")).unwrap();
    fs::write(folder.join("volume/x"), "x").unwrap();
    let file = event(&folder.join("volume/x"));
    let container = Container::start(folder, "mount --bind volume cache");
    let found = container.locator().locate(&file);
    let expected = folder.join("cache/x");
    assert_eq!(found.path.as_deref(), expected.to_str());
    assert!(!found.deleted);
    // This process has no such mount.
    let found = locator().locate(&file);
    assert_eq!(found.path.as_deref(), folder.join("volume/x").to_str());
}
