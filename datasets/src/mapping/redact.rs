//! Takes out of a payload what never leaves the process.

use super::json::{self, Kind, Value};
use super::names::{Names, enumerate};

/// The text of `value` without the members and items that `hidden` marks. Objects and arrays on
/// the way there lose the space between their parts; everything else stays as it was sent.
pub(super) fn without(value: Value<'_>, hidden: &Names) -> String {
    let mut text = String::with_capacity(value.raw.len());
    write(&mut text, value, hidden);
    text
}

fn write(text: &mut String, value: Value<'_>, hidden: &Names) {
    let mut separator = "";
    match value.kind {
        Kind::Object => {
            text.push('{');
            json::members(value, |name, member| {
                let target = hidden.get(&name.text());
                if target.is_some_and(|target| target.redacted) {
                    return;
                }
                text.push_str(separator);
                separator = ",";
                text.push_str(name.raw);
                text.push(':');
                write_part(text, member, target.and_then(|target| target.below.as_deref()));
            });
            text.push('}');
        }
        Kind::Array => {
            text.push('[');
            enumerate(value, |index, item| {
                let target = hidden.get(index);
                if target.is_some_and(|target| target.redacted) {
                    return;
                }
                text.push_str(separator);
                separator = ",";
                write_part(text, item, target.and_then(|target| target.below.as_deref()));
            });
            text.push(']');
        }
        _ => text.push_str(value.raw),
    }
}

fn write_part(text: &mut String, part: Value<'_>, hidden: Option<&Names>) {
    match hidden {
        Some(hidden) => write(text, part, hidden),
        None => text.push_str(part.raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::names::Pointer;

    fn redacted(text: &str, pointers: &[&str]) -> String {
        let mut hidden = Names::new();
        for pointer in pointers {
            hidden.redact(&Pointer::parse(pointer).unwrap());
        }
        without(json::scan(text, |_, _| {}).unwrap(), &hidden)
    }

    #[test]
    fn members_are_taken_out_wherever_they_stand() {
        let text = r#"{"email":"a","id": 1.50 ,"name":{"first":"b"},"email":"again"}"#;
        assert_eq!(redacted(text, &["/email", "/name"]), r#"{"id":1.50}"#);
        assert_eq!(redacted(text, &["/name/first"]), r#"{"email":"a","id":1.50,"name":{},"email":"again"}"#);
        assert_eq!(redacted(r#"{"e\u006dail":"a"}"#, &["/email"]), "{}");
        assert_eq!(redacted(r#"{"to":["a",{"b":"\"","c":2}]}"#, &["/to/0", "/to/1/b"]), r#"{"to":[{"c":2}]}"#);
        assert_eq!(redacted(r#"{"email":"a"}"#, &["/email/domain"]), r#"{"email":"a"}"#);
    }
}
