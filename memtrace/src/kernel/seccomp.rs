//! What a process that watches for months may ask the kernel for, once all is attached.
//!
//! What is not on the list fails with EPERM. It does not end the process: a libc that comes to use
//! another call must not make an agent crash on every node.

use std::{collections::BTreeMap, io};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter_all_threads,
};

/// Commands of bpf(2) that watching takes (include/uapi/linux/bpf.h, `enum bpf_cmd`): maps are read
/// and written, programs run and tasks iterated. None loads a program, makes a map or pins one.
const BPF_COMMANDS: [u64; 8] = [
    1,  // MAP_LOOKUP_ELEM
    2,  // MAP_UPDATE_ELEM
    3,  // MAP_DELETE_ELEM
    4,  // MAP_GET_NEXT_KEY
    10, // PROG_TEST_RUN
    15, // OBJ_GET_INFO_BY_FD
    28, // LINK_CREATE: of the task iterator
    33, // ITER_CREATE
];

/// Calls by what they are for. No execve, ptrace, mount, setns, keyctl, module or process of others.
const ALLOWED: &[&[i64]] = &[
    // Files: cgroups, /proc, the history, the kernel log.
    &[
        libc::SYS_read,
        libc::SYS_pread64,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_pwrite64,
        libc::SYS_writev,
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_close,
        libc::SYS_lseek,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_statfs,
        libc::SYS_fstatfs,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_readlinkat,
        libc::SYS_getdents64,
        libc::SYS_name_to_handle_at,
        libc::SYS_fcntl,
        libc::SYS_flock,
        libc::SYS_ftruncate,
        libc::SYS_fallocate,
        libc::SYS_fsync,
        libc::SYS_fdatasync,
        libc::SYS_unlinkat,
        libc::SYS_ioctl,
        libc::SYS_getcwd,
        libc::SYS_dup,
        libc::SYS_dup3,
    ],
    // Listeners, connections, waiting for them.
    &[
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept4,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_shutdown,
        libc::SYS_getsockopt,
        libc::SYS_setsockopt,
        libc::SYS_getsockname,
        libc::SYS_getpeername,
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_epoll_pwait2,
        libc::SYS_ppoll,
        libc::SYS_pselect6,
        libc::SYS_eventfd2,
        libc::SYS_pipe2,
        libc::SYS_pidfd_open,
    ],
    // Memory and threads.
    &[
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_membarrier,
        libc::SYS_set_tid_address,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_setaffinity,
        libc::SYS_getcpu,
        libc::SYS_prctl,
        libc::SYS_capget,
        libc::SYS_capset,
        libc::SYS_restart_syscall,
        // abort(3)
        libc::SYS_tgkill,
    ],
    // Signals, time, and what libc asks for.
    &[
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        libc::SYS_getrusage,
        libc::SYS_prlimit64,
        libc::SYS_sysinfo,
        libc::SYS_uname,
        libc::SYS_getuid,
        libc::SYS_geteuid,
    ],
];

/// The older forms of the same calls, which musl and glibc still use where there are any.
#[cfg(target_arch = "x86_64")]
const ALLOWED_OLD: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_dup2,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_pipe,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLD: &[i64] = &[];

/// Confines all threads of this process, and those they start. It cannot be undone.
///
/// # Errors
/// If the kernel refuses, or the machine's architecture is not known to the filter.
pub fn confine() -> io::Result<()> {
    let program = program().map_err(io::Error::other)?;
    apply_filter_all_threads(&program).map_err(io::Error::other)
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in ALLOWED.iter().copied().flatten().chain(ALLOWED_OLD) {
        rules.insert(*call, Vec::new());
    }
    let condition = |argument, operator, value| {
        SeccompCondition::new(argument, Dword, operator, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let commands = BPF_COMMANDS.map(|command| condition(0, SeccompCmpOp::Eq, command));
    rules.insert(
        libc::SYS_bpf,
        commands.into_iter().collect::<Result<_, _>>()?,
    );
    // No memory that can be written, or was, becomes code.
    let exec = libc::PROT_EXEC as u64;
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![condition(2, SeccompCmpOp::MaskedEq(exec), 0)?]);
    }
    SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command, thread};

    use super::*;

    /// In a thread of its own: there a filter is the thread's.
    #[test]
    fn what_is_not_on_the_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let work = move || -> io::Result<()> {
            let program = program().map_err(io::Error::other)?;
            seccompiler::apply_filter(&program).map_err(io::Error::other)?;
            // What watching takes goes on.
            assert!(fs::read_to_string("/proc/meminfo")?.contains("MemTotal"));
            fs::write(&path, "x")?;
            fs::remove_file(&path)?;
            thread::spawn(|| ()).join().unwrap();
            // The rest does not.
            let refused = Command::new("/bin/true").status();
            assert!(refused.is_err(), "{refused:?}");
            // SAFETY: MAP_CREATE with no attributes; at worst the kernel answers with an error.
            let made = unsafe { libc::syscall(libc::SYS_bpf, 0, std::ptr::null::<u8>(), 0) };
            assert_eq!(made, -1);
            assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EPERM));
            // SAFETY: a mapping of its own that nobody uses.
            let code = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    4096,
                    libc::PROT_READ | libc::PROT_EXEC,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            assert_eq!(code, libc::MAP_FAILED);
            Ok(())
        };
        thread::spawn(work).join().unwrap().unwrap();
    }
}
