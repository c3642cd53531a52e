//! The C library's allocator, told that a process of few threads lives for months in little memory.

/// glibc gives threads arenas of their own, and keeps what was freed: of 1,500 cgroups and their
/// pods that takes 8 MiB of 44. One arena is enough for threads that hardly ever allocate at once,
/// and what is large (a snapshot, an answer) is mapped, and so given back (mallopt(3)).
#[cfg(target_env = "gnu")]
pub(super) fn keep_little() {
    const LARGE_BYTES: libc::c_int = 64 << 10;
    for (what, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE_BYTES),
        (libc::M_TRIM_THRESHOLD, LARGE_BYTES),
    ] {
        // SAFETY: mallopt takes its arguments by value, and may be called at any time.
        if unsafe { libc::mallopt(what, value) } == 0 {
            log::debug!("mallopt({what}, {value}) was refused");
        }
    }
}

/// Others have one arena, and keep nothing large.
#[cfg(not(target_env = "gnu"))]
pub(super) fn keep_little() {}
