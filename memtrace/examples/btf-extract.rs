//! Writes a small BTF blob that holds only what memtrace looks up in a kernel's: the unit tests run
//! on such extracts of real kernels. Run it as `cargo xtask btf-extract FROM TO`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use memtrace::kernel::{
    btf::{Btf, Kind},
    layout::{ResolvedLayout, Source, TABLE},
};

/// Tracepoints whose prototypes are kept: all that have a hook or may get one.
const TRACEPOINTS: &[&str] = &[
    "count_memcg_events",
    "finish_task_reaping",
    "mark_victim",
    "mm_filemap_add_to_page_cache",
    "mm_filemap_delete_from_page_cache",
    "mm_filemap_fault",
    "mm_filemap_get_pages",
    "mm_filemap_map_pages",
    "mm_lru_activate",
    "mm_lru_insertion",
    "mm_vmscan_direct_reclaim_begin",
    "mm_vmscan_direct_reclaim_end",
    "mm_vmscan_memcg_reclaim_begin",
    "mm_vmscan_memcg_reclaim_end",
    "mod_memcg_lruvec_state",
    "rss_stat",
    "sched_process_exec",
    "sched_process_exit",
    "skip_task_reaping",
    "start_task_reaping",
];

/// Functions kept: candidates for fentry, and the target of `iter/task`.
const FUNCTIONS: &[&str] = &[
    "__mod_lruvec_state",
    "bpf_iter_task",
    "bpf_mem_cgroup_page_state",
    "folio_mark_accessed",
    "mark_page_accessed",
    "mem_cgroup_out_of_memory",
    "mem_cgroup_scan_tasks",
    "mem_cgroup_update_lru_size",
    "mod_lruvec_state",
    "oom_badness",
    "oom_evaluate_task",
    "oom_kill_process",
    "out_of_memory",
    "shrink_folio_list",
    "shrink_lruvec",
    "shrink_page_list",
    "try_to_free_mem_cgroup_pages",
    "try_to_free_pages",
    "try_to_shrink_lruvec",
    "workingset_activation",
    "workingset_eviction",
    "workingset_refault",
];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (from, to) = args
        .next()
        .zip(args.next())
        .context("usage: btf-extract FROM TO")?;
    let blob = std::fs::read(&from).with_context(|| format!("read {from}"))?;
    let full = Btf::parse(&blob).with_context(|| format!("parse {from}"))?;
    let small = extract(&full);
    let bytes = write(&full, &small);
    verify(&full, &bytes).context("the extract does not answer as the full BTF does")?;
    std::fs::write(&to, &bytes).with_context(|| format!("write {to}"))?;
    println!("{to}: {} types, {} bytes", small.keep.len(), bytes.len());
    Ok(())
}

/// The types to keep and, of those with members or enumerators, which rows.
struct Extract<'a> {
    btf: &'a Btf<'a>,
    keep: BTreeMap<u32, BTreeSet<usize>>,
}

fn extract<'a>(btf: &'a Btf<'a>) -> Extract<'a> {
    let mut small = Extract {
        btf,
        keep: BTreeMap::new(),
    };
    for (_, source) in TABLE {
        small.source(source);
    }
    for tracepoint in TRACEPOINTS {
        small.tracepoint(tracepoint);
    }
    for name in FUNCTIONS {
        small.function(name);
    }
    small
}

impl Extract<'_> {
    /// Everything that a row of the layout table may ask for, its last alternative included.
    fn source(&mut self, source: &Source) {
        match source {
            Source::Member { paths, .. } => paths.iter().for_each(|path| self.member(path)),
            Source::MemberGiven { given, path, .. } => {
                self.member(given);
                self.member(path);
            }
            Source::SecondPage { unless, path, .. } => {
                unless.iter().for_each(|path| self.member(path));
                self.member(path);
            }
            Source::Embedded(path) | Source::Bit(path) => self.member(path),
            Source::Enumerator(name) => self.enumerator(name),
            Source::EitherMember { path, else_path } => {
                self.member(path);
                self.member(else_path);
            }
            Source::HasEnumerator { name, among } => {
                self.enumerator(name);
                self.enumerator(among);
            }
            Source::Argument { tracepoints, .. } => {
                tracepoints
                    .iter()
                    .for_each(|tracepoint| self.tracepoint(tracepoint));
            }
            Source::ArgumentType { tracepoint, .. } => self.tracepoint(tracepoint),
            Source::Prototype { function, .. } => self.function(function),
            Source::Caller => (),
        }
    }

    fn tracepoint(&mut self, tracepoint: &str) {
        let name = format!("btf_trace_{tracepoint}");
        self.btf
            .ids(Kind::Typedef, &name)
            .for_each(|id| self.whole(id));
    }

    fn function(&mut self, name: &str) {
        self.btf.func_ids(name).for_each(|id| self.whole(id));
    }

    /// Keeps a type and what it refers to. Structs and enums begin without members, so this ends.
    fn whole(&mut self, id: u32) {
        if id == 0 || self.keep.contains_key(&id) {
            return;
        }
        let Some(ty) = self.btf.type_by_id(id) else {
            return;
        };
        self.keep.insert(id, BTreeSet::new());
        match ty.kind {
            Kind::Array => {
                ty.rows().for_each(|[element, index, _]| {
                    self.whole(element);
                    self.whole(index);
                });
            }
            Kind::FuncProto => {
                self.whole(ty.size_or_type);
                ty.rows().for_each(|[_, argument]| self.whole(argument));
            }
            kind if refers(kind) => self.whole(ty.size_or_type),
            _ => (),
        }
    }

    /// Keeps as much of a path as this kernel has.
    fn member(&mut self, path: &str) {
        let (root, rest) = path.split_once('.').unwrap_or((path, ""));
        for id in [Kind::Struct, Kind::Union]
            .into_iter()
            .flat_map(|kind| self.btf.ids(kind, root))
        {
            self.whole(id);
            let mut at = Some(id);
            for step in rest.split('.') {
                let (name, index) = step.split_once('[').unwrap_or((step, ""));
                at = at.and_then(|id| self.step(id, name.as_bytes()));
                if let Some(enumerator) = index.strip_suffix(']') {
                    self.enumerator(enumerator);
                    let array = at.and_then(|id| self.btf.strip(id));
                    at = array
                        .filter(|ty| ty.kind == Kind::Array)
                        .and_then(|ty| ty.rows().next().map(|[element, _, _]| element));
                }
            }
        }
    }

    /// Keeps the member of that name and the anonymous ones around it; answers its type.
    fn step(&mut self, id: u32, name: &[u8]) -> Option<u32> {
        let ty = self.btf.strip(id)?;
        if !matches!(ty.kind, Kind::Struct | Kind::Union) {
            return None;
        }
        for (row, [name_offset, type_id, _]) in ty.rows().enumerate() {
            let found = match name_offset {
                0 => self.step(type_id, name),
                _ => self.btf.is_named(name_offset, name).then_some(type_id),
            };
            if found.is_some() {
                self.whole(type_id);
                self.keep.entry(ty.id).or_default().insert(row);
                return found;
            }
        }
        None
    }

    fn enumerator(&mut self, name: &str) {
        for ty in self.btf.enums() {
            let names: Vec<u32> = match ty.kind {
                Kind::Enum64 => ty.rows().map(|[name, _, _]| name).collect(),
                _ => ty.rows().map(|[name, _]| name).collect(),
            };
            for (row, at) in names.into_iter().enumerate() {
                if self.btf.is_named(at, name.as_bytes()) {
                    self.keep.entry(ty.id).or_default().insert(row);
                }
            }
        }
    }
}

/// Kinds whose record names another type where others have their size.
fn refers(kind: Kind) -> bool {
    match kind {
        Kind::Ptr | Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict => true,
        Kind::Func | Kind::FuncProto | Kind::TypeTag | Kind::Var | Kind::DeclTag => true,
        Kind::Void | Kind::Int | Kind::Array | Kind::Struct | Kind::Union | Kind::Enum => false,
        Kind::Fwd | Kind::DataSec | Kind::Float | Kind::Enum64 => false,
    }
}

/// The string section while it grows; offset 0 is the empty name.
struct Strings {
    bytes: Vec<u8>,
    offsets: BTreeMap<Vec<u8>, u32>,
}

impl Strings {
    fn offset(&mut self, name: &[u8]) -> u32 {
        if name.is_empty() {
            return 0;
        }
        *self.offsets.entry(name.to_vec()).or_insert_with(|| {
            let at = self.bytes.len() as u32;
            self.bytes.extend_from_slice(name);
            self.bytes.push(0);
            at
        })
    }
}

fn write(btf: &Btf<'_>, small: &Extract<'_>) -> Vec<u8> {
    let new_id = |old: u32| match small.keep.keys().position(|id| *id == old) {
        Some(position) => position as u32 + 1,
        None => 0,
    };
    let mut strings = Strings {
        bytes: vec![0],
        offsets: BTreeMap::new(),
    };
    let mut types: Vec<u32> = Vec::new();
    for (id, rows) in &small.keep {
        let Some(ty) = btf.type_by_id(*id) else {
            continue;
        };
        let mut name = |at| strings.offset(btf.string(at).unwrap_or_default());
        let kept = |row: &usize| rows.contains(row);
        let own_name = name(ty.name_offset);
        let items: Vec<u32> = match ty.kind {
            Kind::Struct | Kind::Union => (ty.rows().enumerate().filter(|(row, _)| kept(row)))
                .flat_map(|(_, [at, id, offset])| [name(at), new_id(id), offset])
                .collect(),
            Kind::Enum => (ty.rows().enumerate().filter(|(row, _)| kept(row)))
                .flat_map(|(_, [at, value])| [name(at), value])
                .collect(),
            Kind::Enum64 => (ty.rows().enumerate().filter(|(row, _)| kept(row)))
                .flat_map(|(_, [at, low, high])| [name(at), low, high])
                .collect(),
            Kind::FuncProto => ty
                .rows()
                .flat_map(|[at, id]| [name(at), new_id(id)])
                .collect(),
            Kind::Array => ty
                .rows()
                .flat_map(|[element, index, length]| [new_id(element), new_id(index), length])
                .collect(),
            _ => ty.rows::<1>().flatten().collect(),
        };
        let vlen = match ty.kind {
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => rows.len() as u32,
            _ => u32::from(ty.vlen),
        };
        types.push(own_name);
        types.push(u32::from(ty.kind_flag) << 31 | (ty.kind as u32) << 24 | vlen);
        types.push(if refers(ty.kind) {
            new_id(ty.size_or_type)
        } else {
            ty.size_or_type
        });
        types.extend(items);
    }
    let (types_bytes, strings_bytes) = (4 * types.len() as u32, strings.bytes.len() as u32);
    // struct btf_header: magic, version 1, no flags; its length; both sections' offset and length.
    let header = [0x0001_eb9f, 24, 0, types_bytes, types_bytes, strings_bytes];
    let words = header.into_iter().chain(types);
    words
        .flat_map(u32::to_le_bytes)
        .chain(strings.bytes)
        .collect()
}

fn verify(full: &Btf<'_>, bytes: &[u8]) -> Result<()> {
    let small = Btf::parse(bytes)?;
    let (want, got) = (
        ResolvedLayout::resolve(full),
        ResolvedLayout::resolve(&small),
    );
    ensure!(
        want.layout == got.layout,
        "layout: {:?} became {:?}",
        want.layout,
        got.layout
    );
    ensure!(
        want.missing == got.missing,
        "missing: {:?} became {:?}",
        want.missing,
        got.missing
    );
    for tracepoint in TRACEPOINTS {
        let (want, got) = (
            full.tracepoint_args(tracepoint),
            small.tracepoint_args(tracepoint),
        );
        ensure!(want == got, "{tracepoint}: {want:?} became {got:?}");
    }
    for name in FUNCTIONS {
        ensure!(
            full.has_func(name) == small.has_func(name)
                && full.prototype(name) == small.prototype(name),
            "function {name}"
        );
    }
    Ok(())
}
