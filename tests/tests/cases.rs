//! The golden cases, on 1, 2 and 4 workers with the same bytes.

use questline_tests::cases;

#[test]
fn golden_cases() {
    let mut failed = Vec::new();
    let all = cases::all();
    for case in &all {
        let out = tempfile::tempdir().expect("a temporary folder");
        let wrong = match case.replay(out.path(), 1) {
            Ok(()) => case.differences(out.path()),
            Err(error) => format!("  {error}\n"),
        };
        if !wrong.is_empty() {
            failed.push(format!("{}\n{wrong}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), all.len(), failed.join("\n"));
    println!("{} golden cases", all.len());
}

#[test]
fn workers_make_no_difference() {
    for case in cases::all() {
        let outputs = [1, 2, 4].map(|workers| {
            let out = tempfile::tempdir().expect("a temporary folder");
            case.replay(out.path(), workers).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            cases::contents(out.path())
        });
        assert_eq!(outputs[0], outputs[1], "{}: 1 and 2 workers", case.name);
        assert_eq!(outputs[0], outputs[2], "{}: 1 and 4 workers", case.name);
    }
}
