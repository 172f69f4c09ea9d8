//! The golden cases, on 1, 2 and 4 workers with the same bytes.

use questline_tests::cases;
use questline_tests::dice::Dice;

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

/// Another order of arrival gives the same facts, but where a case says why not.
#[test]
fn arrival_makes_no_difference() {
    let (mut wrong, mut shuffled) = (Vec::new(), 0);
    for case in cases::all() {
        let expected = case.facts(None).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let follows_arrival = case.follows_arrival();
        let mut differs = false;
        for seed in 0..6 {
            let found = case.facts(Some(&mut Dice(seed))).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            differs |= found != expected;
            if found != expected && follows_arrival.is_none() {
                let of = expected.iter().filter(|(name, facts)| found[*name] != **facts);
                let of: Vec<_> =
                    of.map(|(name, facts)| format!("  {name}: {facts:?}\n  not {:?}", found[name])).collect();
                wrong.push(format!("{}, seed {seed}:\n{}", case.name, of.join("\n")));
                break;
            }
        }
        match follows_arrival {
            Some(_) if !differs => wrong.push(format!("{}: its facts do not follow from arrival", case.name)),
            Some(_) => {}
            None => shuffled += 1,
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    println!("{shuffled} golden cases in another order");
}
