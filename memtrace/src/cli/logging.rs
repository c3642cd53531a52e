//! Messages about memtrace itself, on standard error.

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                Level::Error => "error: ",
                Level::Warn => "warning: ",
                Level::Info | Level::Debug | Level::Trace => "",
            };
            eprintln!("memtrace: {level}{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Warnings and errors always, the rest (the BPF programs' own log among it) with `-v`.
pub fn init(verbose: bool) {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(if verbose {
            LevelFilter::Debug
        } else {
            LevelFilter::Warn
        });
    }
}
