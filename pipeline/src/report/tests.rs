//! Books worked out by hand.

use datasets::Money;
use datasets::time::Date;

use super::files::{self, Written};
use super::ledger::{Account, Balance, Books, Journal, Movement, POINTS, Posting, of_points};

fn date(day: i32) -> Date {
    // 2026-06-01 is day 20,605 since 1970-01-01.
    Date::from_days(20_604 + day)
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn journal(lines: &[(i32, &str, &str)]) -> Journal {
    let mut journal = Journal::default();
    for (day, reason, delta) in lines {
        let delta = money(delta);
        journal.book(date(*day), of_points(reason, delta).unwrap(), delta);
    }
    journal
}

/// A month's end: 150 granted and 30 spent on the 1st, nothing on the 2nd; on the 3rd 20 expire, of which 5 turn out to have been spent in time, a
/// completion of 50 is revoked, and the spending of 30 is taken back.
fn three_days() -> Journal {
    journal(&[
        (1, "earn", "100"),
        (1, "earn", "50"),
        (1, "spend", "-30"),
        (3, "expire", "-20"),
        (3, "expire", "5"),
        (3, "revoke", "-50"),
        (3, "revoke", "30"),
    ])
}

fn shown(balances: &[Balance]) -> Vec<String> {
    let line = |balance: &Balance| {
        let Balance { account, opening, debit, credit, closing, .. } = balance;
        format!("{} {opening} {debit} {credit} {closing}", account.name())
    };
    balances.iter().map(line).collect()
}

#[test]
fn points_are_owed_until_they_are_spent_expire_or_are_revoked() {
    let Books { days, .. } = three_days().close(None);
    let of: Vec<_> = days.iter().map(|day| (day.date.to_string(), shown(&day.balances))).collect();
    let first = [
        "points_liability 0.00 30.00 150.00 120.00",
        "points_expense 0.00 150.00 0.00 150.00",
        "points_redeemed 0.00 0.00 30.00 30.00",
    ];
    let second = [
        "points_liability 120.00 0.00 0.00 120.00",
        "points_expense 150.00 0.00 0.00 150.00",
        "points_redeemed 30.00 0.00 0.00 30.00",
    ];
    // 120 - 20 + 5 - 50 + 30 = 85; the revoked 50 cost nothing any more; 20 - 5 expired; nothing is spent any more.
    let third = [
        "points_liability 120.00 70.00 35.00 85.00",
        "points_expense 150.00 0.00 50.00 100.00",
        "points_redeemed 30.00 30.00 0.00 0.00",
        "points_expired 0.00 5.00 20.00 15.00",
    ];
    let days = [("2026-06-01", &first[..]), ("2026-06-02", &second[..]), ("2026-06-03", &third[..])];
    let expected: Vec<_> = days
        .into_iter()
        .map(|(date, lines)| (date.to_owned(), lines.iter().map(|line| (*line).to_owned()).collect()))
        .collect();
    assert_eq!(of, expected);
}

#[test]
fn a_restated_bonus_cost_is_booked_on_the_day_that_restates_it() {
    let cost = |currency: &str, of: i32| Posting {
        movement: Movement::BonusCost,
        debit: Account::BonusExpense,
        credit: Account::BonusLiability,
        unit: currency.to_owned(),
        activity_date: Some(date(of)),
    };
    let mut journal = Journal::default();
    journal.book(date(1), cost("EUR", 1), money("12.50"));
    journal.book(date(1), cost("GBP", 1), money("3"));
    journal.book(date(2), cost("EUR", 1), money("-2.50"));
    journal.book(date(2), cost("EUR", 2), money("1"));
    journal.book(date(2), cost("EUR", 2), Money::ZERO);
    let Books { days, .. } = journal.close(None);
    assert_eq!(
        shown(&days[1].balances),
        [
            "bonus_liability 12.50 2.50 1.00 11.00",
            "bonus_liability 3.00 0.00 0.00 3.00",
            "bonus_expense 12.50 1.00 2.50 11.00",
            "bonus_expense 3.00 0.00 0.00 3.00",
        ]
    );
    let booked: Vec<_> =
        days[1].entries.iter().map(|entry| (entry.posting.credit, entry.posting.activity_date, entry.amount)).collect();
    assert_eq!(
        booked,
        [(Account::BonusExpense, Some(date(1)), money("2.50")), (Account::BonusLiability, Some(date(2)), money("1")),]
    );
}

#[test]
fn days_without_a_booking_have_balances_up_to_the_last_complete_one() {
    let Books { days, .. } = journal(&[(2, "earn", "1")]).close(Some(date(4)));
    let dates: Vec<_> = days.iter().map(|day| day.date.to_string()).collect();
    assert_eq!(dates, ["2026-06-02", "2026-06-03", "2026-06-04"]);
    assert!(days.iter().all(|day| day.balances[0].closing == money("1")));
    let Books { days, .. } = journal(&[(2, "earn", "1")]).close(Some(date(1)));
    assert_eq!(days, [], "the first day is not complete");
}

#[test]
fn unknown_reasons_are_not_booked() {
    assert_eq!(of_points("gift", Money::ONE), None);
}

#[test]
fn files_of_a_day_do_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let days = three_days().close(None).days;
    assert_eq!(files::write(folder.path(), &days[..2]), Ok(Written { new: 8, same: 0 }));
    assert_eq!(files::write(folder.path(), &days), Ok(Written { new: 4, same: 8 }));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        read("journal-2026-06-01.csv"),
        "booked_on,entry,movement,account,unit,debit,credit,activity_date,source_rows\n\
         2026-06-01,1,granted,points_expense,points,150.00,0.00,,2\n\
         2026-06-01,1,granted,points_liability,points,0.00,150.00,,2\n\
         2026-06-01,2,redeemed,points_liability,points,30.00,0.00,,1\n\
         2026-06-01,2,redeemed,points_redeemed,points,0.00,30.00,,1\n"
    );
    assert_eq!(read("journal-2026-06-02.csv").lines().count(), 1);
    assert_eq!(
        read("balances-2026-06-02.csv"),
        format!(
            "date,account,unit,opening,debit,credit,closing\n2026-06-02,points_liability,{POINTS},120.00,0.00,0.00,120.00\n\
             2026-06-02,points_expense,{POINTS},150.00,0.00,0.00,150.00\n2026-06-02,points_redeemed,{POINTS},30.00,0.00,0.00,30.00\n"
        )
    );
    let other = journal(&[(1, "earn", "151")]).close(None).days;
    let refused = files::write(folder.path(), &other).unwrap_err();
    assert!(refused.contains("journal-2026-06-01.csv: is there and differs"), "{refused}");
    assert!(read("journal-2026-06-01.csv").contains("150.00"), "what was there stays");

    // Whoever moves one away gets both anew.
    let parquet = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let before = parquet("journal-2026-06-01.parquet");
    for name in ["journal", "balances"] {
        std::fs::remove_file(folder.path().join(format!("{name}-2026-06-01.csv"))).unwrap();
    }
    assert_eq!(files::write(folder.path(), &other), Ok(Written { new: 4, same: 0 }));
    assert!(read("journal-2026-06-01.csv").contains("151.00") && parquet("journal-2026-06-01.parquet") != before);
}
