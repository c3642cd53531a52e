//! `docs/VERDICTS.md` has a section for each rule, and for nothing else.

use crate::model::Rule;

const DOCUMENT: &str = include_str!("../../../../../docs/VERDICTS.md");

#[test]
fn every_rule_has_its_section_and_no_other() {
    let sections: Vec<&str> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'))
        .collect();
    let rules = Rule::ALL.map(Rule::id);
    assert_eq!(sections, rules);
}

#[test]
fn every_section_says_when_and_shows_an_example() {
    for section in DOCUMENT.split("\n## `").skip(1) {
        let id = section.split('`').next().unwrap();
        // What stands after the last rule is of no section.
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains("\n**When:**"), "{id} has no When");
        assert!(section.contains("\n> "), "{id} has no example");
    }
}

#[test]
fn every_id_is_one_rules() {
    let mut ids = Rule::ALL.map(Rule::id).to_vec();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), Rule::ALL.len());
}
