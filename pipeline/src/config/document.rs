//! The configuration as TOML with the place of every value: from the file, the environment, secret files.

use std::iter::Peekable;
use std::ops::Range;
use std::slice;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::{Place, Problems};
use super::path::{KeyPath, Step};
use super::suggest::explain;

/// A parsed file with what was set over it.
pub(super) struct Document<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
    /// Where values from outside of the file come from. The n-th has the span of one byte that lies n
    /// bytes behind the file's end, so a span tells the origin of a value whatever it is.
    origins: Vec<String>,
}

/// One key with its value.
struct Entry {
    path: KeyPath,
    key: Range<usize>,
    value: Range<usize>,
}

impl<'t> Document<'t> {
    /// Every syntax error goes to `problems`.
    pub(super) fn parse(text: &'t str, problems: &mut Problems) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Document { text, root, origins: Vec::new() };
        for error in &errors {
            let place = error.span().map_or(Place::Nowhere, |span| document.place_of(&span));
            problems.add_syntax(place, format!("no valid TOML: {}", error.message()));
        }
        document
    }

    /// Sets what lies at `path`, making tables on the way. An element of an array must exist.
    pub(super) fn set(&mut self, path: &KeyPath, value: DeValue<'t>, origin: &str) -> Result<(), String> {
        let Some((Step::Key(key), parents)) = path.steps().split_last() else {
            return Err("no key is named".to_owned());
        };
        let mut spans = Spans { origins: &mut self.origins, file_end: self.text.len(), origin };
        let table = table_at(self.root.get_mut(), parents, &mut spans)?;
        // An equal key would keep its old span.
        table.remove(key.as_str());
        let span = spans.next();
        table.insert(Spanned::new(span.clone(), key.clone().into()), Spanned::new(span.clone(), moved(value, &span)));
        Ok(())
    }

    /// Removes what lies at `path`, and returns it if it is a text.
    pub(super) fn take_text(&mut self, path: &KeyPath) -> Option<String> {
        let text = value_at(self.root.get_ref(), path)?.as_str()?.to_owned();
        remove(self.root.get_mut(), path);
        Some(text)
    }

    /// The keys of the table at `path`.
    pub(super) fn keys(&self, path: &KeyPath) -> Vec<String> {
        let table = value_at(self.root.get_ref(), path).and_then(DeValue::as_table);
        table.into_iter().flat_map(|table| table.keys().map(|key| key.get_ref().to_string())).collect()
    }

    /// Something is given there.
    pub(super) fn has(&self, path: &KeyPath) -> bool {
        value_at(self.root.get_ref(), path).is_some()
    }

    /// It is given, and not from outside.
    pub(super) fn is_in_file(&self, path: &KeyPath) -> bool {
        self.has(path) && matches!(self.place(path), Place::Line { .. })
    }

    /// Where `path` was given, or else the nearest table around it.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        let entries = self.entries();
        let around = entries.iter().filter(|entry| entry.path.steps().len() <= path.steps().len());
        let nearest = around.filter(|entry| entry.path.overlaps(path)).max_by_key(|entry| entry.path.steps().len());
        nearest.map_or(Place::Nowhere, |entry| self.place_of(&entry.key))
    }

    /// Reads the document. A value that cannot be read is reported and left at its default, so that
    /// all of them are reported. `None`: the document as a whole cannot be read.
    pub(super) fn deserialize<T: DeserializeOwned>(&self, problems: &mut Problems) -> Option<T> {
        let mut entries = self.entries();
        entries.retain(|entry| matches!(entry.path.steps().last(), Some(Step::Key(_))));
        let mut rest = self.root.clone();
        loop {
            let error = match T::deserialize(toml::de::Deserializer::from(rest.clone())) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let span = error.span()?;
            let around = entries.iter().filter_map(|entry| Some((entry.width_around(&span)?, entry)));
            let (_, entry) = around.min_by_key(|(width, _)| *width)?;
            problems.add(entry.path.clone(), self.place_of(&span), explain(error.message()));
            if !remove(rest.get_mut(), &entry.path) {
                return None;
            }
        }
    }

    /// Every key of every table, arrays of tables included.
    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        collect(self.root.get_ref(), &KeyPath::default(), &mut entries);
        entries
    }

    fn place_of(&self, span: &Range<usize>) -> Place {
        if let Some(origin) = span.start.checked_sub(self.text.len() + 1).and_then(|number| self.origins.get(number)) {
            return Place::Outside(origin.clone());
        }
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::Line { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

impl Entry {
    /// The size of the key or value that holds `span`.
    fn width_around(&self, span: &Range<usize>) -> Option<usize> {
        let holds = |outer: &&Range<usize>| outer.start <= span.start && span.end <= outer.end;
        [&self.key, &self.value].into_iter().filter(holds).map(Range::len).min()
    }
}

/// Gives out the spans of one origin.
struct Spans<'a> {
    origins: &'a mut Vec<String>,
    file_end: usize,
    origin: &'a str,
}

impl Spans<'_> {
    fn next(&mut self) -> Range<usize> {
        let start = self.file_end + 1 + self.origins.len();
        self.origins.push(self.origin.to_owned());
        start..start + 1
    }
}

fn collect(table: &DeTable<'_>, path: &KeyPath, entries: &mut Vec<Entry>) {
    for (key, value) in table {
        let path = path.key(key.get_ref().as_ref());
        entries.push(Entry { path: path.clone(), key: key.span(), value: value.span() });
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, &path, entries),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        let path = path.index(index);
                        entries.push(Entry { path: path.clone(), key: item.span(), value: item.span() });
                        collect(inner, &path, entries);
                    }
                }
            }
            _ => {}
        }
    }
}

fn value_at<'a, 't>(root: &'a DeTable<'t>, path: &KeyPath) -> Option<&'a DeValue<'t>> {
    let (first, rest) = path.steps().split_first()?;
    let Step::Key(key) = first else { return None };
    let first = root.get(key.as_str())?.get_ref();
    rest.iter().try_fold(first, |value, step| match step {
        Step::Key(key) => Some(value.as_table()?.get(key.as_str())?.get_ref()),
        Step::Index(index) => Some(value.as_array()?.get(*index)?.get_ref()),
    })
}

fn remove(root: &mut DeTable<'_>, path: &KeyPath) -> bool {
    let Some((Step::Key(key), parents)) = path.steps().split_last() else { return false };
    let mut table = root;
    let mut steps = parents.iter().peekable();
    while let Some(step) = steps.next() {
        let Step::Key(key) = step else { return false };
        let Some(value) = table.get_mut(key.as_str()) else { return false };
        match inner_table(value.get_mut(), &mut steps) {
            Ok(inner) => table = inner,
            Err(_) => return false,
        }
    }
    table.remove(key.as_str()).is_some()
}

/// The table at `steps`, made where it is missing.
fn table_at<'a, 't>(
    root: &'a mut DeTable<'t>,
    steps: &[Step],
    spans: &mut Spans<'_>,
) -> Result<&'a mut DeTable<'t>, String> {
    let mut table = root;
    let mut steps = steps.iter().peekable();
    while let Some(step) = steps.next() {
        let Step::Key(key) = step else { return Err("a number can only follow the name of an array".to_owned()) };
        if !table.contains_key(key.as_str()) {
            let span = spans.next();
            let made = Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
            table.insert(Spanned::new(span, key.clone().into()), made);
        }
        let value = table.get_mut(key.as_str()).expect("it was there or was just made").get_mut();
        table = inner_table(value, &mut steps).map_err(|why| format!("{key} {why}"))?;
    }
    Ok(table)
}

/// The table that `value` is, or the one in it that the next step counts.
fn inner_table<'a, 't>(
    mut value: &'a mut DeValue<'t>,
    steps: &mut Peekable<slice::Iter<'_, Step>>,
) -> Result<&'a mut DeTable<'t>, String> {
    if let Some(Step::Index(index)) = steps.peek() {
        let DeValue::Array(items) = value else { return Err("is no array".to_owned()) };
        let Some(item) = items.get_mut(*index) else { return Err(format!("has no element {index}")) };
        value = item.get_mut();
        steps.next();
    }
    match value {
        DeValue::Table(inner) => Ok(inner),
        _ => Err("is no table".to_owned()),
    }
}

/// `value`, all of it at `span`.
fn moved<'t>(value: DeValue<'t>, span: &Range<usize>) -> DeValue<'t> {
    let item = |item: Spanned<DeValue<'t>>| Spanned::new(span.clone(), moved(item.into_inner(), span));
    match value {
        DeValue::Array(items) => DeValue::Array(items.into_iter().map(item).collect()),
        DeValue::Table(table) => {
            let entries = table.into_iter();
            DeValue::Table(
                entries.map(|(key, value)| (Spanned::new(span.clone(), key.into_inner()), item(value))).collect(),
            )
        }
        scalar => scalar,
    }
}
