use super::{COMM_BYTES, Header};
use crate::shared;

/// A process was marked as a victim of the OOM killer (`mark_oom_victim`, mm/oom_kill.c).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VictimRecord {
    /// `tag` is [`Tag::Victim`](super::Tag::Victim).
    pub header: Header,
    /// The process that dies.
    pub victim_tgid: u32,
    /// The process whose allocation ran out of memory.
    pub trigger_tgid: u32,
    /// Cgroup id of the victim's memory cgroup; 0 if unknown (the hook gave a pid only).
    pub victim_memcg_id: u64,
    /// Cgroup id of the trigger's memory cgroup; 0 if unknown.
    pub trigger_memcg_id: u64,
    /// Name of the victim; all zero if the hook gave a pid only.
    pub victim_comm: [u8; COMM_BYTES],
    /// Name of the trigger.
    pub trigger_comm: [u8; COMM_BYTES],
}
shared!(VictimRecord, 72);
