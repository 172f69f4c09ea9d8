//! A strict scanner of JSON text (RFC 8259) that copies nothing.
//!
//! One pass checks the whole text and hands out the members of an object as slices of it: an
//! amount keeps the digits that were sent, and a value that nobody maps costs no more than a look
//! at its bytes. The usual lazy iterators were weighed and do not fit untrusted records: they
//! recurse into nested values without a bound, let `\uZZZZ` and text after the object pass, and
//! allocate for every object. Whatever this scanner accepts, a JSON parser downstream reads too.

use std::borrow::Cow;

/// Objects and arrays may be nested this deep; the bound of most JSON parsers.
pub(super) const MAX_DEPTH: u32 = 128;

/// Where a text stops being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Bytes before the fault.
    pub at: usize,
    /// What the grammar wants there.
    pub expected: &'static str,
}

/// What a value is, as far as it matters to a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not there.
    Absent,
    Null,
    Bool,
    Number,
    /// A string that stands for itself between its quotes.
    String,
    /// A string with escapes.
    EscapedString,
    Array,
    Object,
    /// Text from outside of the JSON: a header, the key, a constant. It has no quotes.
    Plain,
}

/// A value as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    /// The text, quotes and brackets included.
    pub raw: &'a str,
    pub kind: Kind,
}

impl<'a> Value<'a> {
    /// No value.
    pub const ABSENT: Value<'static> = Value { raw: "", kind: Kind::Absent };

    /// Text from outside of the JSON.
    pub fn plain(raw: &'a str) -> Self {
        Value { raw, kind: Kind::Plain }
    }

    /// Absent, `null` or empty text: the three count the same (DOMAIN §2).
    pub fn is_absent(&self) -> bool {
        match self.kind {
            Kind::Absent | Kind::Null => true,
            Kind::String => self.raw.len() == 2,
            Kind::Plain => self.raw.is_empty(),
            _ => false,
        }
    }

    /// The characters of a string or of plain text.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::Plain => Some(Cow::Borrowed(self.raw)),
            Kind::String => Some(Cow::Borrowed(inside(self.raw))),
            Kind::EscapedString => Some(Cow::Owned(unescape(inside(self.raw)))),
            _ => None,
        }
    }

    /// How a person calls the kind.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Absent => "nothing",
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String | Kind::EscapedString | Kind::Plain => "a text",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

/// The name of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    /// The text with its quotes.
    pub raw: &'a str,
    /// The same with the colon and the space around that, up to the value.
    pub up_to_value: &'a str,
    escaped: bool,
}

impl<'a> Name<'a> {
    /// The characters of the name.
    pub fn text(&self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(inside(self.raw))) } else { Cow::Borrowed(inside(self.raw)) }
    }
}

fn inside(quoted: &str) -> &str {
    &quoted[1..quoted.len() - 1]
}

/// Takes the members of an object, in their order.
pub(super) trait Members<'a> {
    /// The length of what `rest` begins with, if that is known: a name with its quotes and the colon, and what space
    /// there is, as it was scanned before. The value behind it is the next one to be told, without a name.
    fn known(&mut self, _rest: &[u8]) -> Option<usize> {
        None
    }

    /// A member, whose name is absent if it is the one that was known.
    fn member(&mut self, name: Option<Name<'a>>, value: Value<'a>);
}

/// Knows no names.
struct Each<F>(F);

impl<'a, F: FnMut(Name<'a>, Value<'a>)> Members<'a> for Each<F> {
    fn member(&mut self, name: Option<Name<'a>>, value: Value<'a>) {
        (self.0)(name.expect("no name is known"), value);
    }
}

/// As [`scan_members`], to a closure.
pub(super) fn scan<'a>(text: &'a str, member: impl FnMut(Name<'a>, Value<'a>)) -> Result<Value<'a>, Fault> {
    scan_members(text, Each(member))
}

/// Checks the whole of `text` and tells what it is. The members of an object go to `members`, in
/// their order, before a fault further on is known.
pub(super) fn scan_members<'a>(text: &'a str, members: impl Members<'a>) -> Result<Value<'a>, Fault> {
    let mut scanner = Scanner::new(text);
    scanner.skip_space();
    let start = scanner.at;
    let kind = if scanner.peek() == Some(b'{') {
        scanner.members(members)?;
        Kind::Object
    } else {
        scanner.value(0)?
    };
    let raw = &text[start..scanner.at];
    scanner.skip_space();
    if scanner.at < text.len() {
        return Err(scanner.expected("the end of the record"));
    }
    Ok(Value { raw, kind })
}

/// The items of an array that was scanned before.
pub(super) fn items<'a>(array: Value<'a>, mut item: impl FnMut(Value<'a>)) {
    debug_assert_eq!(array.kind, Kind::Array);
    let mut scanner = Scanner::new(array.raw);
    scanner.items(&mut item).expect("the array was scanned before");
}

/// The members of an object that was scanned before.
pub(super) fn members<'a>(object: Value<'a>, member: impl FnMut(Name<'a>, Value<'a>)) {
    debug_assert_eq!(object.kind, Kind::Object);
    let mut scanner = Scanner::new(object.raw);
    scanner.members(Each(member)).expect("the object was scanned before");
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Scanner { text, bytes: text.as_bytes(), at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[cold]
    fn expected(&self, expected: &'static str) -> Fault {
        Fault { at: self.at, expected }
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn members(&mut self, mut members: impl Members<'a>) -> Result<(), Fault> {
        self.take(b'{', "an object")?;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = match members.known(&self.bytes[self.at..]) {
                Some(length) => {
                    self.at += length;
                    self.skip_space();
                    None
                }
                None => Some(self.name()?),
            };
            let start = self.at;
            let kind = self.value(1)?;
            members.member(name, Value { raw: &self.text[start..self.at], kind });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.expected("',' or '}'")),
            }
            self.skip_space();
        }
    }

    fn items(&mut self, item: &mut impl FnMut(Value<'a>)) -> Result<(), Fault> {
        self.take(b'[', "an array")?;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let start = self.at;
            let kind = self.value(1)?;
            item(Value { raw: &self.text[start..self.at], kind });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.expected("',' or ']'")),
            }
            self.skip_space();
        }
    }

    /// A member's name up to the first byte of its value.
    #[inline]
    fn name(&mut self) -> Result<Name<'a>, Fault> {
        let start = self.at;
        self.take(b'"', "a name in quotes")?;
        let kind = self.string()?;
        let raw = &self.text[start..self.at];
        self.skip_space();
        self.take(b':', "':'")?;
        self.skip_space();
        Ok(Name { raw, up_to_value: &self.text[start..self.at], escaped: kind == Kind::EscapedString })
    }

    /// Skips one value inside of `depth` containers.
    #[inline]
    fn value(&mut self, depth: u32) -> Result<Kind, Fault> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string()
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.container(depth).map(|()| Kind::Object),
            Some(b'[') => self.container(depth).map(|()| Kind::Array),
            Some(b't') => self.literal("true", Kind::Bool),
            Some(b'f') => self.literal("false", Kind::Bool),
            Some(b'n') => self.literal("null", Kind::Null),
            _ => Err(self.expected("a value")),
        }
    }

    /// Skips a container. The brackets that are open are bits of a word instead of stack frames,
    /// so that a record of a million brackets is refused like any other.
    fn container(&mut self, depth: u32) -> Result<(), Fault> {
        let mut open = Brackets { objects: 0, depth, bottom: depth };
        loop {
            // At the first byte of a value.
            match self.peek() {
                Some(b'{') => {
                    open.push(true).map_err(|expected| self.expected(expected))?;
                    self.at += 1;
                    self.skip_space();
                    if self.peek() != Some(b'}') {
                        self.name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    open.push(false).map_err(|expected| self.expected(expected))?;
                    self.at += 1;
                    self.skip_space();
                    if self.peek() != Some(b']') {
                        continue;
                    }
                }
                _ => {
                    self.value(open.depth)?;
                }
            }
            // Behind a value, or in an empty container: close what ends here.
            loop {
                self.skip_space();
                match (self.peek(), open.in_object()) {
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        open.pop();
                        if open.is_empty() {
                            return Ok(());
                        }
                    }
                    (Some(b','), in_object) => {
                        self.at += 1;
                        self.skip_space();
                        if in_object {
                            self.name()?;
                        }
                        break;
                    }
                    (_, true) => return Err(self.expected("',' or '}'")),
                    (_, false) => return Err(self.expected("',' or ']'")),
                }
            }
        }
    }

    fn literal(&mut self, literal: &'static str, kind: Kind) -> Result<Kind, Fault> {
        if !self.bytes[self.at..].starts_with(literal.as_bytes()) {
            return Err(self.expected(literal));
        }
        self.at += literal.len();
        Ok(kind)
    }

    #[inline]
    fn number(&mut self) -> Result<Kind, Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Skips a string from behind its opening quote to behind its closing one.
    #[inline]
    fn string(&mut self) -> Result<Kind, Fault> {
        let mut kind = Kind::String;
        loop {
            self.skip_plain_characters();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(kind);
                }
                Some(b'\\') => {
                    self.escape()?;
                    kind = Kind::EscapedString;
                }
                Some(_) => return Err(self.expected("an escaped control character")),
                None => return Err(self.expected("'\"'")),
            }
        }
    }

    /// Moves to the next quote, backslash or control character, eight bytes at a time.
    #[inline]
    fn skip_plain_characters(&mut self) {
        while let Some(chunk) = self.bytes[self.at..].first_chunk::<8>() {
            let special = special_bytes(u64::from_le_bytes(*chunk));
            if special != 0 {
                // The lowest marked byte is exact: borrows only carry upwards.
                self.at += usize::try_from(special.trailing_zeros() / 8).expect("at most 7");
                return;
            }
            self.at += 8;
        }
        while let Some(byte) = self.peek() {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.at += 1;
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let first = self.unit()?;
                match first {
                    0xD800..=0xDBFF => {
                        self.take(b'\\', "the second half of a surrogate pair")?;
                        if self.peek() == Some(b'u') && matches!(self.unit()?, 0xDC00..=0xDFFF) {
                            return Ok(());
                        }
                        Err(self.expected("the second half of a surrogate pair"))
                    }
                    0xDC00..=0xDFFF => Err(self.expected("the first half of a surrogate pair")),
                    _ => Ok(()),
                }
            }
            _ => Err(self.expected("an escape")),
        }
    }

    /// The UTF-16 unit of `u` and four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, Fault> {
        let digits = self.bytes.get(self.at + 1..self.at + 5).and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(parse_hex).ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 5;
        Ok(unit)
    }
}

/// Marks the quotes, backslashes and control characters among eight bytes by their highest bit.
/// Marks above the lowest one may be false.
fn special_bytes(chunk: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let below = |value: u64, limit: u64| value.wrapping_sub(ONES * limit) & !value;
    let quote = chunk ^ (ONES * 0x22);
    let backslash = chunk ^ (ONES * 0x5C);
    (below(quote, 1) | below(backslash, 1) | below(chunk, 0x20)) & HIGHS
}

struct Brackets {
    /// One bit a level, the innermost lowest: an object's is set.
    objects: u128,
    depth: u32,
    bottom: u32,
}

impl Brackets {
    fn push(&mut self, object: bool) -> Result<(), &'static str> {
        if self.depth == MAX_DEPTH {
            return Err("no more than 128 levels of nesting");
        }
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn is_empty(&self) -> bool {
        self.depth == self.bottom
    }
}

fn parse_hex(digits: &str) -> Option<u32> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

/// The characters behind the escapes of a string that was scanned before.
#[cold]
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        text.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unescape_unit(&mut rest),
            quoted => char::from(quoted),
        });
    }
    text.push_str(rest);
    text
}

fn unescape_unit(rest: &mut &str) -> char {
    let mut unit = || {
        let unit = parse_hex(&rest[..4]).expect("the escape was scanned before");
        *rest = &rest[4..];
        unit
    };
    let first = unit();
    if !(0xD800..=0xDBFF).contains(&first) {
        return char::from_u32(first).expect("a unit outside of the surrogates is a character");
    }
    *rest = &rest[2..];
    let second = parse_hex(&rest[..4]).expect("the escape was scanned before");
    *rest = &rest[4..];
    char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).expect("a surrogate pair is a character")
}

#[cfg(test)]
mod tests;
