//! What waits in the sockets of a process, which the kernel charges to its cgroup (`sock`).
//!
//! By `/proc/PID/net` and `/proc/PID/fd`, not by netlink: that would need the process's network
//! namespace to be entered, and a module (`inet_diag`) that many kernels have not loaded. These tables
//! show what is queued, not the whole buffers that are charged for it; UDP's show the buffers.

use std::collections::{BTreeMap, BTreeSet};

use procfs::process::{FDTarget, Process};

use crate::input::{SocketUsage, TaskUsage};

/// Sockets that are looked at, and open files of one process.
const SOCKETS: usize = 65_536;
/// Processes whose open files are looked through.
const ASKED: usize = 256;

/// Adds the sockets of each process; not if there are more than 256 processes. One that has ended
/// stays unknown, and so does one whose open files may not be listed (CAP_SYS_PTRACE).
pub fn add_sockets(tasks: &mut [TaskUsage]) {
    if tasks.len() > ASKED {
        return;
    }
    let mut namespaces: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    let mut counted = BTreeSet::new();
    for task in tasks {
        let process = i32::try_from(task.pid)
            .ok()
            .and_then(|pid| Process::new(pid).ok());
        let Some(process) = process else { continue };
        let Some(namespace) = network_of(&process) else {
            continue;
        };
        let queues = namespaces
            .entry(namespace)
            .or_insert_with(|| queued(&process));
        task.sockets = usage(&process, queues, &mut counted);
    }
}

/// The inode number of the process's network namespace.
fn network_of(process: &Process) -> Option<u64> {
    let namespaces = process.namespaces().ok()?.0;
    Some(namespaces.get(std::ffi::OsStr::new("net"))?.identifier)
}

/// Queued bytes of each socket of the process's network namespace, by the socket's inode.
fn queued(process: &Process) -> BTreeMap<u64, u64> {
    // A protocol that this kernel lacks has no sockets. The entries are of two types with the same fields.
    let tcp = [process.tcp(), process.tcp6()];
    let tcp = tcp.into_iter().flatten().flatten();
    let udp = [process.udp(), process.udp6()];
    let udp = udp.into_iter().flatten().flatten();
    tcp.map(|entry| (entry.inode, entry.rx_queue, entry.tx_queue))
        .chain(udp.map(|entry| (entry.inode, entry.rx_queue, entry.tx_queue)))
        .map(|(inode, received, unsent)| (inode, u64::from(received) + u64::from(unsent)))
        .take(SOCKETS)
        .collect()
}

/// The sockets that a process has open and that nobody before it had.
fn usage(
    process: &Process,
    queues: &BTreeMap<u64, u64>,
    counted: &mut BTreeSet<u64>,
) -> Option<SocketUsage> {
    let mut usage = SocketUsage::default();
    for open in process.fd().ok()?.flatten().take(SOCKETS) {
        let FDTarget::Socket(inode) = open.target else {
            continue;
        };
        // Inodes of sockets are of one file system, whatever the namespace.
        if let Some(bytes) = queues.get(&inode)
            && counted.insert(inode)
        {
            usage.count += 1;
            usage.queued_bytes += bytes;
        }
    }
    Some(usage)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::tasks::from_proc;

    #[test]
    fn what_waits_in_a_socket_of_this_process_is_counted_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        let twice = receiver.try_clone().unwrap();
        sender.write_all(&[7; 30_000]).unwrap();
        let mut own = from_proc(&[], &[std::process::id()], 4096).unwrap();
        add_sockets(&mut own);
        let SocketUsage {
            count,
            queued_bytes,
        } = own[0].sockets.unwrap();
        // Other tests of this process may have sockets too, but none so full.
        assert!(count >= 3, "{count} sockets");
        assert!(
            (30_000..60_000).contains(&queued_bytes),
            "{queued_bytes} bytes queued"
        );
        drop((receiver, twice));
    }
}
