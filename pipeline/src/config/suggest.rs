//! "Did you mean": the known name nearest to an unknown one.

/// What serde says of an unknown key or value, as people should read it: quoted, with the nearest
/// known name. Other messages are returned as they are.
pub(super) fn explain(message: &str) -> String {
    let (kind, rest) = if let Some(rest) = message.strip_prefix("unknown field `") {
        ("unknown key", rest)
    } else if let Some(rest) = message.strip_prefix("unknown variant `") {
        ("unknown value", rest)
    } else {
        return plain(message);
    };
    let Some((found, expected)) = rest.split_once('`') else { return message.to_owned() };
    // What serde expects stands between backticks: every second piece.
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    match nearest(found, &known) {
        Some(near) => format!("{kind} {found:?}: did you mean {near:?}?"),
        None => format!("{kind} {found:?}: use one of {}", known.join(", ")),
    }
}

/// Rust's words for TOML's things.
fn plain(message: &str) -> String {
    let Some((found, expected)) = message.split_once(", expected ") else { return message.to_owned() };
    let expected = match expected {
        "a sequence" => "an array",
        "a map" => "a table",
        "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        struct_name if struct_name.starts_with("struct ") => "a table",
        other => other,
    };
    format!("{}, expected {expected}", found.replace("invalid type: map", "invalid type: a table"))
}

/// The nearest of `known`, if it is nearer than a third of the letters.
fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, near) = known.iter().map(|known| (distance(found, known), *known)).min()?;
    (distance <= found.chars().count().max(3) / 3 + 1 && distance < near.chars().count()).then_some(near)
}

/// Edits from one text to the other: insertions, deletions, replacements.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (place, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = place + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        assert_eq!(
            explain("unknown field `brokrs`, expected one of `brokers`, `properties`"),
            "unknown key \"brokrs\": did you mean \"brokers\"?"
        );
        assert_eq!(
            explain("unknown variant `net`, expected `cash` or `gross`"),
            "unknown value \"net\": use one of cash, gross"
        );
        assert_eq!(
            explain("invalid type: integer `5`, expected struct Kafka"),
            "invalid type: integer `5`, expected a table"
        );
        assert_eq!(explain("no"), "no");
    }

    #[test]
    fn distances() {
        assert_eq!((distance("kitten", "sitting"), distance("", "abc"), distance("a", "a")), (3, 3, 0));
    }
}
