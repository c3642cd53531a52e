#!/bin/busybox sh
# First process of the guest: mounts what a server has mounted, runs one command,
# brings its files out and leaves through the debug exit device.
# The command's output goes to the second serial port, the kernel's to the first,
# so that neither breaks the other's lines.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/root

fail() {
    echo "guest: $*" >/dev/ttyS1
    guest-exit 120
}

# The kernel makes the root of an initramfs writable for all.
chmod 755 /
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t debugfs debugfs /sys/kernel/debug
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
stty raw -echo </dev/ttyS1
# Out of memory reports are for dmesg; a panic still reaches the console.
dmesg -n 1
ip link set lo up
hostname guest

. /etc/guest.sh

case "$GUEST_CGROUP" in
v2)
    mount -t cgroup2 cgroup2 /sys/fs/cgroup || fail "cannot mount cgroup2"
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
        echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
    done
    grep -qw memory /sys/fs/cgroup/cgroup.subtree_control || fail "no memory controller on cgroup v2"
    ;;
v1)
    # The hybrid layout: each controller on its own hierarchy, beside an empty v2 tree.
    mount -t tmpfs tmpfs /sys/fs/cgroup
    for controllers in memory cpu,cpuacct cpuset pids freezer; do
        mkdir "/sys/fs/cgroup/$controllers"
        mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers" ||
            fail "cannot mount cgroup v1 $controllers"
    done
    # As systemd has it; always on since 5.11.
    echo 1 >/sys/fs/cgroup/memory/memory.use_hierarchy
    mkdir /sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    ;;
esac

lru_gen=/sys/kernel/mm/lru_gen/enabled
case "$GUEST_LRU" in
mglru)
    [ -e $lru_gen ] || fail "this kernel has no MGLRU"
    echo y >$lru_gen
    [ $(($(cat $lru_gen) & 1)) = 1 ] || fail "MGLRU stayed off"
    ;;
classic)
    if [ -e $lru_gen ]; then
        echo n >$lru_gen
        [ $(($(cat $lru_gen) & 1)) = 0 ] || fail "MGLRU stayed on"
    fi
    ;;
esac

# Since 6.12 the two disks are probed side by side and come up in either order.
disk() {
    for tries in $(seq 200); do
        for block in /sys/block/nvme*n1; do
            name=${block##*/}
            if [ -b "/dev/$name" ] && [ "$(tr -d ' ' <"$block/device/serial")" = "$1" ]; then
                echo "/dev/$name"
                return
            fi
        done
        usleep 50000
    done
}
data=$(disk data) out=$(disk out)
mount -t ext4 "$data" /data || fail "cannot mount the data disk"
mkdir -p /out

cd /data
setsid sh /etc/command </dev/null >/dev/ttyS1 2>&1
code=$?

cd /
dmesg >/out/dmesg.txt
tar -C /out -cf "$out" . || fail "the files brought out do not fit on their disk"
sync
guest-exit $code
poweroff -f
