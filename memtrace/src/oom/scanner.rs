//! The kernel's task iterator alone, without the hooks of an explanation.

use std::io;

use crate::kernel::{
    attach::{self, AttachError, Attached, LoadOptions},
    facts::KernelFacts,
    hooks, plan,
};

/// The iterator, loaded.
pub struct TaskScanner(Attached);

impl TaskScanner {
    /// Loads it.
    ///
    /// # Errors
    /// Why it is not to be had, in words: the caller reads `/proc` instead.
    pub fn start(kernel: &KernelFacts) -> Result<Self, String> {
        let mut plan = plan::plan(kernel, false, &[]);
        plan.retain(|planned| planned.signal.name == hooks::TASK_SCAN);
        let attached =
            attach::attach(kernel, plan, &LoadOptions::default()).map_err(|error| match error {
                AttachError::NotPermitted => "BPF is not permitted".to_owned(),
                error => error.to_string(),
            })?;
        match attached.outcomes.first() {
            Some(outcome) if outcome.attached.is_some() => Ok(Self(attached)),
            outcome => Err(outcome
                .and_then(|outcome| outcome.refused.first())
                .map_or_else(
                    || "this kernel has no task iterator".to_owned(),
                    |(rung, reason)| format!("{rung}: {reason}"),
                )),
        }
    }

    /// Every process, as the iterator's stream.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        self.0
            .task_samples()
            .unwrap_or_else(|| Err(io::Error::other("the task iterator is off")))
    }
}
