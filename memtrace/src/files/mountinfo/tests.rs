use super::*;

/// Captured from a machine with v1 hierarchies, where `/dev/shm` is mounted twice.
pub(in crate::files) const CAPTURED: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334524k,nr_inodes=3083631,mode=755
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684096k
26 24 0:24 / /dev/pts rw,relatime - devpts devpts rw,mode=600,ptmxmode=000
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict,resuid=65534,resgid=65534
29 26 0:26 / /dev/pts rw,relatime - devpts devpts rw,mode=600,ptmxmode=000
30 25 0:27 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684096k
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
";

/// Captured on Linux 6.18: an overlay with a blank in its mount point and a colon in a layer.
pub(in crate::files) const CAPTURED_OVERLAY: &str = "\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
45 27 0:39 / /tmp/ovl/m\\040nt rw,relatime - overlay overlay rw,lowerdir=/tmp/ovl/l1:/tmp/ovl/l\\134:3,upperdir=/tmp/ovl/u,workdir=/tmp/ovl/w
";

#[test]
fn every_captured_line_is_a_mount() {
    let table = MountTable::parse(CAPTURED);
    assert_eq!(table.mounts().len(), CAPTURED.lines().count());
    let expected = Mount {
        id: 27,
        parent_id: 1,
        device: 254 << 20,
        root: "/".into(),
        mount_point: "/".into(),
        fstype: "ext4".into(),
        layers: None,
    };
    assert_eq!(table.mounts()[5], expected);
    let pts = table.mounts()[6].clone();
    assert_eq!((pts.device, pts.fstype.as_str()), (26, "devpts"));
}

#[test]
fn the_mounts_of_this_process_are_read() {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let table = MountTable::parse(&text);
    assert_eq!(table.mounts().len(), text.lines().count());
    assert_eq!(table.mount_of("/proc/self").unwrap().fstype, "proc");
}

#[test]
fn optional_fields_and_escapes_are_understood() {
    let line = "36 35 98:0 /mnt\\0401 /a\\134b\\011c rw,noatime shared:2 master:1 - fuse.sshfs \
                u@host: rw,errors=continue";
    let table = MountTable::parse(line);
    let [mount] = table.mounts() else {
        panic!("{table:?}");
    };
    assert_eq!(mount.root, "/mnt 1");
    assert_eq!(mount.mount_point, "/a\\b\tc");
    assert_eq!(mount.fstype, "fuse.sshfs");
}

#[test]
fn what_is_no_mount_is_left_out() {
    for line in [
        "",
        "36 35 98:0 /",
        "36 35 98 / / rw - ext4 /dev/vda rw",
        "x 35 98:0 / / rw - ext4 /dev/vda rw",
        "36 35 98:0 / / rw ext4 /dev/vda rw",
        "36 35 98:0 - ext4",
    ] {
        assert_eq!(MountTable::parse(line).mounts(), [], "{line}");
    }
}

#[test]
fn a_lookup_ends_in_the_mount_on_top() {
    let table = MountTable::parse(CAPTURED);
    for (path, id) in [
        ("/", 27),
        ("/data/t.log", 27),
        ("/process", 27),
        ("/proc", 22),
        ("/proc/1/maps", 22),
        ("/dev/null", 24),
        ("/dev/shm/x", 30),
        ("/dev/pts/0", 29),
        ("/sys/fs/cgroup/memory/a", 35),
    ] {
        assert_eq!(
            table.mount_of(path).map(|mount| mount.id),
            Some(id),
            "{path}"
        );
    }
}

#[test]
fn a_mount_over_a_parent_directory_hides_what_is_below() {
    // `/data/cache` was mounted first, then `/data` over its parent.
    let table = MountTable::parse(
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n\
         40 27 0:40 / /data/cache rw - tmpfs tmpfs rw\n\
         41 27 0:41 / /data rw - tmpfs tmpfs rw\n",
    );
    assert_eq!(table.mount_of("/data/cache/x").unwrap().id, 41);
}

#[test]
fn a_table_with_a_loop_ends() {
    let table = MountTable::parse(
        "1 1 0:1 / / rw - rootfs rootfs rw\n\
         2 3 0:2 / / rw - tmpfs tmpfs rw\n\
         3 2 0:3 / / rw - tmpfs tmpfs rw\n",
    );
    assert_eq!(table.mount_of("/x").unwrap().id, 1);
}

#[test]
fn below_knows_where_a_name_ends() {
    assert_eq!(below("/a/b", "/a"), Some("/b"));
    assert_eq!(below("/a/b", "/"), Some("/a/b"));
    assert_eq!(below("/a/b", "/a/b"), Some(""));
    assert_eq!(below("/ab", "/a"), None);
    assert_eq!(below("/a", "/a/b"), None);
}

#[test]
fn the_captured_overlay_has_its_layers() {
    let table = MountTable::parse(CAPTURED_OVERLAY);
    let layers = table.mounts()[1].layers.clone().unwrap();
    assert_eq!(layers.upper.as_deref(), Some("/tmp/ovl/u"));
    assert_eq!(layers.lowers, ["/tmp/ovl/l1", "/tmp/ovl/l:3"]);
}
