//! Lines and cells.

use crate::model::words::mib;

/// Columns a line should keep to.
pub(in crate::view) const WIDTH: usize = 79;
/// Columns of a row's label, with its indent.
const LABEL_WIDTH: usize = 21;
/// Columns of a row's number.
const NUMBER_WIDTH: usize = 9;

/// `label    number  note`; the note is not shortened.
pub(super) fn row(label: &str, number: &str, note: &str) -> String {
    let line = format!("{label:<LABEL_WIDTH$}{number:>NUMBER_WIDTH$}  {note}");
    line.trim_end().to_owned()
}

/// Columns that a row leaves for its note.
pub(super) const NOTE_WIDTH: usize = WIDTH - LABEL_WIDTH - NUMBER_WIDTH - 2;

/// It does not round to 0.0 MiB; what does is in JSON only.
pub(super) fn is_visible(bytes: i64) -> bool {
    !matches!(mib(bytes).as_str(), "0.0" | "-0.0")
}

/// Breaks `text` between words into lines of at most `width` characters; a longer word, such as a
/// path, gets a line of its own.
pub(in crate::view) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Takes characters out of the middle of `text` until it has at most `width`: the end of a path
/// says most, its beginning comes second.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let head = kept / 3;
    let tail = kept - head;
    let start = characters[..head].iter();
    let end = characters[characters.len() - tail..].iter();
    start.chain(&['…']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_loses_its_middle() {
        let short = shorten("/var/lib/containers/storage/overlay/data/seg_41.dat", 24);
        assert_eq!(short, "/var/li…/data/seg_41.dat");
        assert_eq!(short.chars().count(), 24);
        assert_eq!(shorten("/a", 24), "/a");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(
            wrap("a /very/long/path b", 6),
            ["a", "/very/long/path", "b"]
        );
    }
}
