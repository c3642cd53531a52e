//! The file.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, TableDefinition, WriteTransaction, backends::InMemoryBackend,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HistoryError;

const REPORTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("reports");
/// By cgroup id; [`NODE`] is the machine.
const BALANCES: TableDefinition<'_, u64, u64> = TableDefinition::new("balances");
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

const FORMAT: &str = "format";
const FORMAT_VERSION: u64 = 1;
const BOOT: &str = "boot_id";
/// Pages of the file that are kept in memory: it is written to, not read from.
const CACHE_BYTES: usize = 1 << 20;

/// The machine's counter, among those of cgroups.
pub const NODE: u64 = 0;

/// Kills told of, by counter.
pub type Balances = BTreeMap<u64, u64>;

/// A report as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its number, from 1, never used again.
    #[serde(default)]
    pub id: u64,
    /// For programs: docs/json/oom-report.md.
    pub json: Value,
    /// For people.
    pub text: String,
}

impl Report {
    /// The same with its number.
    pub(crate) fn numbered(mut self, id: u64) -> Self {
        self.id = id;
        if let Value::Object(object) = &mut self.json {
            object.insert("id".to_owned(), id.into());
        }
        self
    }
}

/// An open history.
pub struct History {
    database: Database,
    pub(super) path: PathBuf,
    max_bytes: u64,
    next_id: u64,
}

impl History {
    /// Opens the history, or starts one, to keep at most `max_bytes` of reports.
    ///
    /// # Errors
    /// [`HistoryError`], with the path and what to do.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Self, HistoryError> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder).map_err(|source| HistoryError::Folder {
                path: folder.to_owned(),
                source,
            })?;
        }
        let database = builder().create(path);
        Self::of(
            database.map_err(|error| opening(path, error))?,
            path,
            max_bytes,
        )
    }

    /// A history that is forgotten with the process, for who wants none.
    ///
    /// # Errors
    /// None that is known of: the database's interface has them.
    pub fn in_memory(max_bytes: u64) -> Result<Self, HistoryError> {
        let path = Path::new("in memory");
        let database = builder().create_with_backend(InMemoryBackend::new());
        Self::of(
            database.map_err(|error| opening(path, error))?,
            path,
            max_bytes,
        )
    }

    fn of(database: Database, path: &Path, max_bytes: u64) -> Result<Self, HistoryError> {
        let mut own = Self {
            database,
            path: path.to_owned(),
            max_bytes,
            next_id: 1,
        };
        own.prepare()?;
        Ok(own)
    }

    /// Opens a history that is there, to read it.
    ///
    /// # Errors
    /// [`HistoryError::Missing`], [`HistoryError::InUse`] while an agent writes to it.
    pub fn open_existing(path: &Path) -> Result<Self, HistoryError> {
        if !path.exists() {
            return Err(HistoryError::Missing {
                path: path.to_owned(),
            });
        }
        Self::open(path, u64::MAX)
    }

    fn prepare(&mut self) -> Result<(), HistoryError> {
        let found = self.write("starting", |write| {
            let mut meta = write.open_table(META)?;
            let found = meta
                .get(FORMAT)?
                .map(|found| found.value().parse().unwrap_or(0));
            if found.is_none() {
                meta.insert(FORMAT, FORMAT_VERSION.to_string().as_str())?;
            }
            write.open_table(BALANCES)?;
            let reports = write.open_table(REPORTS)?;
            let last = reports.last()?.map_or(0, |(id, _)| id.value());
            Ok((found.unwrap_or(FORMAT_VERSION), last))
        })?;
        let (found, last) = found;
        if found != FORMAT_VERSION {
            return Err(HistoryError::Format {
                path: self.path.clone(),
                found,
                wanted: FORMAT_VERSION,
            });
        }
        self.next_id = last + 1;
        Ok(())
    }

    /// What the last agent had told of; `None` if there was none. After a reboot everything begins
    /// with 0.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn balances(&self, boot_id: &str) -> Result<Option<Balances>, HistoryError> {
        self.read("reading", |read| {
            let meta = read.open_table(META)?;
            let Some(boot) = meta.get(BOOT)? else {
                return Ok(None);
            };
            if boot.value() != boot_id {
                return Ok(Some(Balances::new()));
            }
            let table = read.open_table(BALANCES)?;
            let mut balances = Balances::new();
            for entry in table.iter()? {
                let (id, kills) = entry?;
                balances.insert(id.value(), kills.value());
            }
            Ok(Some(balances))
        })
    }

    /// Keeps a report, with the balances as of now, and gives it its number. It is on the disk when
    /// this returns.
    ///
    /// # Errors
    /// If it could not be written: then nothing of it was.
    pub fn append(
        &mut self,
        report: Report,
        balances: &Balances,
        boot_id: &str,
    ) -> Result<Report, HistoryError> {
        let report = report.numbered(self.next_id);
        let bytes = serde_json::to_vec(&report).map_err(|source| HistoryError::Report {
            path: self.path.clone(),
            id: report.id,
            source,
        })?;
        let max_bytes = self.max_bytes;
        self.write("writing to", |write| {
            let mut reports = write.open_table(REPORTS)?;
            reports.insert(report.id, bytes.as_slice())?;
            // `stored_bytes` counts what was put in, not what the file takes.
            while reports.len()? > 1 && reports.stats()?.stored_bytes() > max_bytes {
                reports.pop_first()?;
            }
            drop(reports);
            put_balances(write, balances, boot_id)
        })?;
        self.next_id += 1;
        Ok(report)
    }

    /// Keeps the balances alone.
    ///
    /// # Errors
    /// If they could not be written.
    pub fn keep_balances(
        &mut self,
        balances: &Balances,
        boot_id: &str,
    ) -> Result<(), HistoryError> {
        self.write("writing to", |write| put_balances(write, balances, boot_id))
    }

    /// The newest reports, newest first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn newest(&self, count: usize) -> Result<Vec<Report>, HistoryError> {
        let found = self.read("reading", |read| {
            let table = read.open_table(REPORTS)?;
            let newest = table.iter()?.rev().take(count);
            newest
                .map(|entry| entry.map(|(id, bytes)| (id.value(), bytes.value().to_owned())))
                .collect::<Result<Vec<_>, _>>()
                .map_err(redb::Error::from)
        })?;
        found
            .into_iter()
            .map(|(id, bytes)| self.parse(id, &bytes))
            .collect()
    }

    /// Shows the newest reports one by one, newest first, until `to` has seen enough. One that is not
    /// understood is passed over.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn each_newest(
        &self,
        count: usize,
        mut to: impl FnMut(Report) -> ControlFlow<()>,
    ) -> Result<(), HistoryError> {
        self.read("reading", |read| {
            let table = read.open_table(REPORTS)?;
            for entry in table.iter()?.rev().take(count) {
                let (_, bytes) = entry?;
                let report = serde_json::from_slice(bytes.value());
                if let Ok(report) = report
                    && to(report).is_break()
                {
                    break;
                }
            }
            Ok(())
        })
    }

    /// One report; `None` if there is none of that number (any more).
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn report(&self, id: u64) -> Result<Option<Report>, HistoryError> {
        let found = self.read("reading", |read| {
            let table = read.open_table(REPORTS)?;
            Ok(table.get(id)?.map(|bytes| bytes.value().to_owned()))
        })?;
        found.map(|bytes| self.parse(id, &bytes)).transpose()
    }

    fn parse(&self, id: u64, bytes: &[u8]) -> Result<Report, HistoryError> {
        serde_json::from_slice(bytes).map_err(|source| HistoryError::Report {
            path: self.path.clone(),
            id,
            source,
        })
    }

    pub(super) fn read<T>(
        &self,
        operation: &'static str,
        with: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, HistoryError> {
        let read = || with(&self.database.begin_read()?);
        read().map_err(|source| self.failed(operation, source))
    }

    /// One transaction: all of it, or nothing.
    pub(super) fn write<T>(
        &self,
        operation: &'static str,
        with: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, HistoryError> {
        let write = || {
            let transaction = self.database.begin_write()?;
            let done = with(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        write().map_err(|source: redb::Error| self.failed(operation, source))
    }

    fn failed(&self, operation: &'static str, source: redb::Error) -> HistoryError {
        HistoryError::Database {
            operation,
            path: self.path.clone(),
            source: Box::new(source),
        }
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn put_balances(
    write: &WriteTransaction,
    balances: &Balances,
    boot_id: &str,
) -> Result<(), redb::Error> {
    write.open_table(META)?.insert(BOOT, boot_id)?;
    let mut table = write.open_table(BALANCES)?;
    table.retain(|id, kills| balances.get(&id) == Some(&kills))?;
    for (id, kills) in balances {
        if table.get(id)?.is_none() {
            table.insert(id, kills)?;
        }
    }
    Ok(())
}

fn opening(path: &Path, error: DatabaseError) -> HistoryError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => HistoryError::InUse {
            path: path.to_owned(),
        },
        DatabaseError::Storage(redb::StorageError::Io(error))
            if error.kind() == io::ErrorKind::WouldBlock =>
        {
            HistoryError::InUse {
                path: path.to_owned(),
            }
        }
        error => HistoryError::Database {
            operation: "opening",
            path: path.to_owned(),
            source: Box::new(error.into()),
        },
    }
}
