use super::*;

fn report(text: &str) -> Report {
    Report {
        id: 0,
        json: serde_json::json!({"text": text}),
        text: text.to_owned(),
    }
}

#[test]
fn reports_are_there_again_in_order_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/history.redb");
    let none = Balances::new();
    let mut history = History::open(&path, u64::MAX).unwrap();
    for text in ["one", "two"] {
        history.append(report(text), &none, "boot").unwrap();
    }
    assert!(matches!(
        History::open_existing(&path),
        Err(HistoryError::InUse { .. })
    ));
    drop(history);
    let mut history = History::open_existing(&path).unwrap();
    let third = history.append(report("three"), &none, "boot").unwrap();
    assert_eq!((third.id, &third.json["id"]), (3, &serde_json::json!(3)));
    let newest = history.newest(2).unwrap();
    assert_eq!(
        (newest[0].text.as_str(), newest[1].text.as_str()),
        ("three", "two")
    );
    assert_eq!(history.report(1).unwrap().unwrap().text, "one");
    assert_eq!(history.report(9).unwrap(), None);
}

#[test]
fn balances_belong_to_a_boot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.redb");
    let mut history = History::open(&path, u64::MAX).unwrap();
    assert_eq!(history.balances("one").unwrap(), None);
    let first = Balances::from([(NODE, 4), (7, 1)]);
    history.keep_balances(&first, "one").unwrap();
    assert_eq!(history.balances("one").unwrap(), Some(first));
    let second = Balances::from([(NODE, 5), (8, 2)]);
    history.append(report("x"), &second, "one").unwrap();
    assert_eq!(history.balances("one").unwrap(), Some(second));
    assert_eq!(history.balances("two").unwrap(), Some(Balances::new()));
}

#[test]
fn the_oldest_go_when_there_is_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(&folder.path().join("h"), 10_000).unwrap();
    let long = "x".repeat(1_000);
    for _ in 0..40 {
        history
            .append(report(&long), &Balances::new(), "b")
            .unwrap();
    }
    let kept = history.newest(100).unwrap();
    assert!((2..10).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[0].id, 40);
}

#[test]
fn what_is_no_history_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    let error = History::open_existing(&path).err().unwrap();
    assert!(
        error.to_string().contains("memtrace agent --history"),
        "{error}"
    );
    std::fs::write(
        &path,
        "not a database, but some text that is long enough to be one",
    )
    .unwrap();
    let error = History::open_existing(&path).err().unwrap();
    assert!(error.to_string().contains("opening the history"), "{error}");
}
