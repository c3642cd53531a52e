use super::{
    super::mountinfo::tests::{CAPTURED, CAPTURED_OVERLAY},
    *,
};

const DISK: u32 = 254 << 20;
const SNAPSHOTS: &str = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";
const VOLUME: &str = "/var/lib/kubelet/pods/0b6e/volumes/kubernetes.io~empty-dir/cache";

/// Composed, not captured: a pod's container under containerd, as its own processes see it.
fn container() -> MountTable {
    MountTable::parse(&format!(
        "900 800 0:120 / / rw,relatime master:50 - overlay overlay \
         rw,lowerdir={SNAPSHOTS}/12/fs:{SNAPSHOTS}/11/fs,upperdir={SNAPSHOTS}/13/fs,\
         workdir={SNAPSHOTS}/13/work\n\
         901 900 0:121 / /proc rw,nosuid - proc proc rw\n\
         902 900 0:122 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755\n\
         903 902 0:123 / /dev/shm rw,nosuid - tmpfs shm rw,size=65536k\n\
         904 900 254:0 {VOLUME} /cache rw,relatime - ext4 /dev/vda rw\n\
         905 900 254:0 /var/lib/kubelet/pods/0b6e/etc-hosts /etc/hosts rw - ext4 /dev/vda rw\n\
         906 900 0:120 /srv/www /public rw - overlay overlay \
         rw,lowerdir={SNAPSHOTS}/12/fs:{SNAPSHOTS}/11/fs,upperdir={SNAPSHOTS}/13/fs,\
         workdir={SNAPSHOTS}/13/work\n"
    ))
}

#[test]
fn files_of_captured_mounts_are_found() {
    let table = MountTable::parse(CAPTURED);
    for (device, fs_path, expected) in [
        (DISK, "/data/t.log", Some("/data/t.log")),
        (27, "/x", Some("/dev/shm/x")),
        (27, "/", Some("/dev/shm")),
        // Mounted, but hidden by the second mount on the same directory.
        (23, "/x", None),
        // Mounted nowhere: a memfd's tmpfs, or another file system.
        (2, "/x", None),
        // Behind another mount.
        (DISK, "/dev/shm/x", None),
    ] {
        let found = paths(&table, device, fs_path);
        assert_eq!(found.first().map(String::as_str), expected, "{fs_path}");
    }
}

#[test]
fn a_volume_is_found_where_the_container_has_it() {
    let table = container();
    let found = |fs_path: &str| paths(&table, DISK, fs_path);
    assert_eq!(found(&format!("{VOLUME}/a/b")), ["/cache/a/b"]);
    assert_eq!(found(VOLUME), ["/cache"]);
    assert_eq!(found(&format!("{VOLUME}2/a")), [""; 0]);
    let hosts = "/var/lib/kubelet/pods/0b6e/etc-hosts";
    assert_eq!(found(hosts), ["/etc/hosts"]);
    assert_eq!(found("/etc/passwd"), [""; 0]);
}

#[test]
fn a_deeper_root_comes_first() {
    // A service with PrivateTmp=, and the disk bound to a second place.
    let table = MountTable::parse(
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n\
         28 27 254:0 / /host rw - ext4 /dev/vda rw\n\
         29 27 254:0 /tmp/systemd-private-1/tmp /tmp rw - ext4 /dev/vda rw\n",
    );
    let found = paths(&table, DISK, "/tmp/systemd-private-1/tmp/x");
    assert_eq!(found, ["/tmp/x", "/host/tmp/systemd-private-1/tmp/x"]);
    assert_eq!(paths(&table, DISK, "/data/x"), ["/data/x", "/host/data/x"]);
}

#[test]
fn a_btrfs_subvolume_is_found() {
    let table = MountTable::parse(
        "30 1 0:33 /@ / rw - btrfs /dev/vda2 rw,subvol=/@\n\
         31 30 0:33 /@home /home rw - btrfs /dev/vda2 rw,subvol=/@home\n",
    );
    assert_eq!(paths(&table, 33, "/@home/u/x"), ["/home/u/x"]);
    assert_eq!(paths(&table, 33, "/@/etc/x"), ["/etc/x"]);
    assert_eq!(paths(&table, 33, "/@snapshots/x"), [""; 0]);
}

#[test]
fn a_layer_of_the_container_is_found() {
    let table = container();
    let found = |layer: &str| overlay_path(&table, &[format!("{SNAPSHOTS}/{layer}")]);
    assert_eq!(found("13/fs/data/x").as_deref(), Some("/data/x"));
    assert_eq!(found("11/fs/bin/sh").as_deref(), Some("/bin/sh"));
    assert_eq!(found("13/work/x"), None);
    assert_eq!(found("14/fs/data/x"), None);
    // Below the volume's mount, so the container does not see it.
    assert_eq!(found("11/fs/cache/x"), None);
    assert_eq!(found("11/fs/srv/www/x").as_deref(), Some("/srv/www/x"));
}

#[test]
fn the_upper_directory_wins_over_a_shared_lower_one() {
    let table = MountTable::parse(
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n\
         40 27 0:40 / /a rw - overlay overlay rw,lowerdir=/l:/u,upperdir=/ua\n\
         41 27 0:41 / /b rw - overlay overlay rw,lowerdir=/l,upperdir=/u\n",
    );
    assert_eq!(
        overlay_path(&table, &["/u/x".into()]).as_deref(),
        Some("/b/x")
    );
    assert_eq!(
        overlay_path(&table, &["/l/x".into()]).as_deref(),
        Some("/a/x")
    );
}

#[test]
fn the_captured_overlay_shows_its_layers() {
    let table = MountTable::parse(CAPTURED_OVERLAY);
    for layer in ["u", "l1", "l:3"] {
        let on_host = paths(&table, DISK, &format!("/tmp/ovl/{layer}/d/x"));
        let shown = overlay_path(&table, &on_host);
        assert_eq!(shown.as_deref(), Some("/tmp/ovl/m nt/d/x"), "{layer}");
    }
}
