//! Where the kernel's functions are, by `/proc/kallsyms`. The file has some 200,000
//! lines, which take tens of milliseconds to make: it is read once, for all that is wanted of it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    ops::Range,
};

/// The file.
pub const PATH: &str = "/proc/kallsyms";

/// What was found. Nothing is where the addresses are hidden (`kernel.kptr_restrict`, or too few
/// privileges: then every one reads as 0).
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// First and last address of each function asked for, with its name; clones that the compiler
    /// made (`name.isra.0`, `name.part.0`) under the name itself.
    pub functions: Vec<(Range<u64>, &'static str)>,
}

impl Symbols {
    /// Looks for functions of the kernel proper, by name.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn find(functions: &[&'static str]) -> io::Result<Self> {
        let lines = File::open(PATH).map(BufReader::new)?;
        Self::parse(lines, functions)
    }

    /// From lines of `ADDRESS TYPE NAME`, and `[MODULE]` of those that come after the kernel's own,
    /// which are sorted by address.
    pub(super) fn parse(mut lines: impl BufRead, functions: &[&'static str]) -> io::Result<Self> {
        let mut found = Self::default();
        let mut line = String::new();
        // Functions whose end, the next symbol's address, is still to come.
        let mut open: Vec<(u64, &'static str)> = Vec::new();
        while lines.read_line(&mut line)? != 0 {
            let mut words = line.split_ascii_whitespace();
            let address = words
                .next()
                .and_then(|address| u64::from_str_radix(address, 16).ok());
            let name = words.nth(1).unwrap_or_default();
            if words.next().is_some() {
                break;
            }
            if let Some(address) = address.filter(|address| *address != 0) {
                let ended = open.extract_if(.., |(start, _)| *start < address);
                let ended = ended.map(|(start, name)| (start..address, name));
                found.functions.extend(ended);
                let whole = name.split_once('.').map_or(name, |(whole, _)| whole);
                let function = functions.iter().find(|wanted| **wanted == whole);
                open.extend(function.map(|name| (address, *name)));
            }
            line.clear();
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_end_where_the_next_symbol_is_and_modules_come_last() {
        let text = "\
0000000000000000 A fixed_percpu_data
ffffffff81300000 t first.isra.0
ffffffff81300000 t an_alias
ffffffff81300900 t second
ffffffffc0000000 t first\t[module]
ffffffffc0000100 t next\t[module]
";
        let found = Symbols::parse(text.as_bytes(), &["first", "none"]).unwrap();
        let first = 0xffff_ffff_8130_0000..0xffff_ffff_8130_0900;
        assert_eq!(found.functions, [(first, "first")]);
    }

    #[test]
    fn hidden_addresses_are_unknown() {
        let hidden = "0000000000000000 t first\n";
        let found = Symbols::parse(hidden.as_bytes(), &["first"]).unwrap();
        assert!(found.functions.is_empty());
    }
}
