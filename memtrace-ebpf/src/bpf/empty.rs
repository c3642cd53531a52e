//! Programs that do nothing, for `memtrace doctor --cost`: what the kernel measures of one is what
//! measuring costs, and what a program on the same hook takes more is its own. Loaded for that only.
//!
//! Each is called as the program whose twin it is, with `empty_` before.

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};

macro_rules! empty {
    ($($kind:ident $context:ident: $($name:ident)*;)*) => {
        $($(
            #[$kind]
            pub fn $name(_ctx: $context) -> i32 {
                0
            }
        )*)*
    };
}

empty! {
    btf_tracepoint BtfTracePointContext:
        empty_lru_activate empty_lru_insertion
        empty_cache_add empty_cache_delete
        empty_get_pages empty_fault empty_map_pages
        empty_task_rename empty_process_exec empty_process_exit;
    fentry FEntryContext: empty_workingset_activation empty_workingset_eviction;
    fexit FExitContext: empty_workingset_refault;
}
