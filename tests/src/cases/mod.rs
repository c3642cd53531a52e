//! The cases, one file a family.

mod agent;
mod agent_containerd;
mod agent_prometheus;
mod agent_scene;
mod anon;
mod cache;
mod command;
mod conservation;
mod contention;
mod damage;
mod degraded;
mod exact;
mod footprint;
mod oom;
mod oom_accuracy;
mod oom_scenarios;
mod oom_scene;
mod oom_storm;
mod pressure;
mod reclaim;
mod room;
mod rungs;
mod second_read;
mod shmem;
mod turns;
mod wrong_input;

use crate::suite::Case;

macro_rules! cases {
    ($($name:ident: $run:path,)*) => {
        /// All of them, in the order they run.
        pub(crate) fn all() -> Vec<Case> {
            vec![$(Case { name: stringify!($name), run: $run },)*]
        }
    };
}

cases! {
    new_file_is_inactive: second_read::new_file,
    second_read_small_folios: second_read::small_folios,
    second_read_large_folios: second_read::large_folios,
    second_read_without_fentry: second_read::without_fentry,
    second_read_readers_only: second_read::readers_only,
    generations_know_no_activation: second_read::generations,
    turns_on_own_files: turns::own_files,
    turns_on_own_files_readers_only: turns::own_files_readers_only,
    turns_on_one_file: turns::one_file,
    turns_beside_streamers: turns::beside_streamers,
    one_task_alternates_two_files: turns::two_files,
    anon_held: anon::held,
    anon_freed_before_the_end: anon::freed,
    tmpfs_file_named: shmem::tmpfs_file,
    fadvise_dontneed_explained: cache::dropped,
    read_in_is_credited: cache::brought_in,
    written_here_read_there: cache::shared,
    written_here_read_there_without_fentry: cache::shared_without_fentry,
    active_pages_match_kpageflags: cache::oracle,
    pressure_keeps_the_promise: pressure::promises,
    reclaim_at_the_limit: reclaim::at_the_limit,
    reclaim_by_kprobes: reclaim::by_kprobes,
    reclaim_over_high: reclaim::over_high,
    reclaim_by_a_lower_limit: reclaim::lower_limit,
    reclaim_on_request: reclaim::on_request,
    refaults_that_activate: reclaim::refaults_that_activate,
    exact_counters_match_memory_stat: exact::counters,
    default_ring_loses_nothing: conservation::default_ring,
    one_page_ring_conserves: conservation::full_ring,
    skipped_hook_calls_are_told: contention::skipped_calls,
    damaged_recordings: damage::damaged_recordings,
    error_unknown_target: wrong_input::unknown_target,
    error_no_target: wrong_input::no_target,
    error_dead_pid: wrong_input::dead_pid,
    error_no_memory_controller: wrong_input::no_memory_controller,
    error_not_permitted: wrong_input::not_permitted,
    error_no_btf: wrong_input::no_btf,
    no_tracefs: wrong_input::no_tracefs,
    each_hook_refused: degraded::each_hook_refused,
    no_hook_at_all: degraded::no_hook,
    few_capabilities: degraded::few_capabilities,
    bpf_stats_enabled: degraded::bpf_stats_enabled,
    locked_down: degraded::locked_down,
    error_full_disk: wrong_input::full_disk,
    error_full_device: wrong_input::full_device,
    error_full_device_with_command: wrong_input::full_device_with_command,
    cgroup_vanishes: wrong_input::vanished,
    interrupted: wrong_input::interrupted,
    command_not_found: command::not_found,
    command_not_executable: command::not_executable,
    command_exit_code: command::exit_code,
    command_killed_by_signal: command::killed_by_signal,
    command_signals_passed_on: command::signals_passed_on,
    command_leaves_daemon: command::daemon_left_behind,
    command_daemon_ends: command::daemon_waited_for,
    oom_herds_foretold: oom::herds,
    oom_growing_herds_foretold: oom_accuracy::growing,
    oom_at_the_own_limit: oom_scenarios::own_limit,
    oom_at_the_parents_limit: oom_scenarios::parent_limit,
    oom_of_a_child_in_a_living_container: oom_scenarios::child_in_a_living_container,
    oom_triggered_elsewhere: oom_scenarios::trigger_elsewhere,
    oom_of_shared_memory: oom_scenarios::shared_memory,
    oom_of_a_group: oom_scenarios::group,
    oom_of_the_node: oom_scenarios::node,
    oom_by_sysrq: oom_scenarios::sysrq,
    oom_and_the_cgroup_is_removed: oom_scenarios::cgroup_removed,
    oom_storm: oom_storm::storm,
    oom_predicted_in_a_churn: oom_storm::churn,
    agent_names_a_kill: agent::a_kill_with_its_name,
    agent_names_a_real_container: agent_containerd::real_container,
    agent_tells_of_kills_it_missed: agent::kills_while_it_was_away,
    agent_survives_its_own_death: agent::killed_at_any_moment,
    agent_bears_rude_requests: agent::rude_requests,
    agent_is_scraped_by_prometheus: agent_prometheus::scrapes,
    agent_alert_rules_hold: agent_prometheus::alert_rules,
    binary_size: footprint::binary_size,
    attach_time: footprint::attach_time,
}
