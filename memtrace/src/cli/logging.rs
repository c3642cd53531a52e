//! Messages about memtrace itself, on standard error.

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries have a lot to say about themselves; our own crate and our BPF programs, whose
        // records aya-log marks with their module path, are what `-v` asks for. What a library warns
        // of comes to us as an error too, and is said there: aya warns of RLIMIT_MEMLOCK before
        // every load that is then refused.
        if metadata.target().starts_with("memtrace") {
            metadata.level() <= log::max_level()
        } else if log::max_level() > LevelFilter::Warn {
            metadata.level() <= Level::Warn
        } else {
            metadata.level() <= Level::Error
        }
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
