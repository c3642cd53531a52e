//! The layers of an overlay, from its mount options (fs/overlayfs/params.c `ovl_show_options`).

use super::mountinfo::{below, unescape};

/// The directories that an overlay is stacked from, highest first, as whoever mounted it wrote
/// them: in that process's mount namespace, and perhaps relative to its working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    pub(super) upper: Option<String>,
    pub(super) lowers: Vec<String>,
}

/// A file as an overlay shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown<'a> {
    /// From the overlay's root: empty, or beginning with a slash.
    pub(super) path: &'a str,
    /// In the upper directory, which belongs to this overlay alone.
    pub(super) in_upper: bool,
}

impl Layers {
    /// Parses the super block options of mountinfo.
    pub(super) fn parse(options: &str) -> Self {
        let mut layers = Self::default();
        for option in options.split(',') {
            // A comma or an equals sign within a value is escaped.
            let Some((key, value)) = option.split_once('=') else {
                continue;
            };
            match key {
                "upperdir" => layers.upper = Some(unescape(value)),
                "lowerdir" => layers.lowers.extend(split_dirs(&unescape(value))),
                // One directory each: the way of the newer mount API, where a colon is just that.
                "lowerdir+" | "datadir+" => layers.lowers.push(unescape(value)),
                _ => {}
            }
        }
        layers
    }

    /// Where this overlay shows the file that the mounter's namespace has at `path`; `None` if
    /// none of its layers holds it.
    pub(super) fn show<'a>(&self, path: &'a str) -> Option<Shown<'a>> {
        let upper = self.upper.as_deref();
        if let Some(path) = upper.and_then(|upper| below(path, upper)) {
            return Some(Shown {
                path,
                in_upper: true,
            });
        }
        self.lowers.iter().find_map(|lower| {
            Some(Shown {
                path: self
                    .candidates(lower)
                    .iter()
                    .find_map(|dir| below(path, dir))?,
                in_upper: false,
            })
        })
    }

    /// Replaces lower directories that are symbolic links by what they point to, one step: Docker
    /// mounts short links (`overlay2/l/ABC`) to the directories that hold the files.
    pub(super) fn resolve(&mut self, read_link: impl Fn(&str) -> Option<String>) {
        let follow = |lower: &String| {
            let dirs = self.candidates(lower);
            let target = dirs
                .iter()
                .find_map(|dir| Some(join(dir, &read_link(dir)?)));
            target.unwrap_or_else(|| lower.clone())
        };
        self.lowers = self.lowers.iter().map(follow).collect();
    }

    /// Where a lower directory may be.
    ///
    /// Many layers do not fit into a page of mount options, so container runtimes change into a
    /// directory above all of them and give relative names (`12/fs:11/fs`). The upper directory,
    /// which stays absolute, tells the candidates for that directory.
    fn candidates(&self, lower: &str) -> Vec<String> {
        if lower.starts_with('/') {
            return vec![lower.to_owned()];
        }
        let upper = self.upper.as_deref().filter(|dir| dir.starts_with('/'));
        std::iter::successors(upper, |dir| Some(dir.rsplit_once('/')?.0))
            .skip(1)
            .map(|base| format!("{base}/{lower}"))
            .collect()
    }
}

/// The target of a symbolic link, from the root.
fn join(link: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let mut parts: Vec<_> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// `a:b\:c::d` is `a`, `b:c` and `d`; a double colon introduces data-only layers.
fn split_dirs(text: &str) -> Vec<String> {
    let mut dirs = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => dirs.push(String::new()),
            '\\' => dirs
                .last_mut()
                .expect("it starts with one")
                .extend(characters.next()),
            other => dirs.last_mut().expect("it starts with one").push(other),
        }
    }
    dirs.retain(|dir| !dir.is_empty());
    dirs
}

#[cfg(test)]
mod tests;
