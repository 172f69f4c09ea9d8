//! Lines from files, folders, standard input, and the generator.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use datasets::generator::{GeneratorConfig, JsonLines, Tally, TopicNames, generate};

/// What to read.
#[derive(Clone, Debug)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// Files, in the order of their names.
    Files(Vec<PathBuf>),
    /// Generated play, and where its book is put at the end.
    Play(Box<GeneratorConfig>, Book),
}

/// The book of generated play: there once all of it was read.
pub type Book = Arc<Mutex<Option<Tally>>>;

/// Endings of files that a folder is searched for.
const ENDINGS: [&str; 3] = [".jsonl", ".jsonl.gz", ".jsonl.zst"];

impl Input {
    /// `-`, a file, or a folder with files that end in `.jsonl`, `.jsonl.gz` or `.jsonl.zst`.
    ///
    /// # Errors
    /// What is wrong with `path`, for people.
    pub fn open(path: &Path) -> Result<Input, String> {
        if path == Path::new("-") {
            return Ok(Input::Stdin);
        }
        let shown = path.display();
        let about = |error: io::Error| format!("{shown}: {error}");
        if !path.metadata().map_err(about)?.is_dir() {
            File::open(path).map_err(about)?;
            return Ok(Input::Files(vec![path.to_owned()]));
        }
        let entries = path.read_dir().map_err(about)?.collect::<io::Result<Vec<_>>>().map_err(about)?;
        let mut files: Vec<PathBuf> =
            entries.into_iter().map(|entry| entry.path()).filter(|path| is_input(path)).collect();
        files.sort();
        if files.is_empty() {
            return Err(format!("{shown}: no file in this folder ends in {}", ENDINGS.join(", ")));
        }
        Ok(Input::Files(files))
    }

    /// Bytes on disk, where they are known: for a progress bar.
    pub fn size(&self) -> Option<u64> {
        let Input::Files(files) = self else { return None };
        files.iter().map(|file| file.metadata().map(|metadata| metadata.len()).ok()).sum()
    }

    /// Where the line with this number is, for people: its file, and its place there counted from 1.
    pub fn place(&self, number: i64) -> String {
        let files = if let Input::Files(files) = self { files.as_slice() } else { &[] };
        let mut next = 0;
        for path in files {
            let first = next;
            // It could be read just now; if it cannot any more, the number over all files has to do.
            let read = open(path, |_| ()).and_then(|reader| read_lines(reader, &mut next, &mut |_, _| true));
            if read.is_ok() && number < next {
                return format!("{}:{}", path.display(), number - first + 1);
            }
        }
        format!("line {}", number + 1)
    }

    /// Calls `each` with every line that is not blank and its number, counted from 0 over all files.
    /// `advance` is told the bytes taken from disk. Stops early when `each` answers false.
    ///
    /// # Errors
    /// A file that cannot be read to its end.
    pub fn lines(
        &self,
        advance: impl Fn(u64) + Clone + 'static,
        mut each: impl FnMut(i64, &[u8]) -> bool,
    ) -> Result<(), String> {
        let mut number = 0;
        match self {
            Input::Stdin => read_lines(io::stdin().lock(), &mut number, &mut each)
                .map(drop)
                .map_err(|error| format!("standard input: {error}")),
            Input::Files(files) => {
                for path in files {
                    let reader =
                        open(path, advance.clone()).and_then(|reader| read_lines(reader, &mut number, &mut each));
                    if !reader.map_err(|error| format!("{}: {error}", path.display()))? {
                        break;
                    }
                }
                Ok(())
            }
            Input::Play(config, book) => {
                let mut lines = JsonLines::new(EachLine { line: Vec::new(), number: 0, each });
                let topics = TopicNames { events: "events", missions: "missions" };
                let mut before = 0;
                let tally = generate(config, topics, &mut lines, |done| {
                    advance(done - before);
                    before = done;
                });
                let tally = tally.map_err(|error| crate::chain(&error))?;
                *book.lock().expect("no panic while generating") = Some(tally);
                Ok(())
            }
        }
    }
}

/// Hands on every line that is written to it.
struct EachLine<F> {
    line: Vec<u8>,
    number: i64,
    each: F,
}

impl<F: FnMut(i64, &[u8]) -> bool> Write for EachLine<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                if !(self.each)(self.number, self.line.trim_ascii()) {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                self.number += 1;
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_input(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn open(path: &Path, advance: impl Fn(u64) + 'static) -> io::Result<Box<dyn BufRead>> {
    let file = Counted { inner: File::open(path)?, advance };
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(BufReader::with_capacity(BUFFER, flate2::read::MultiGzDecoder::new(file))),
        Some("zst") => Box::new(BufReader::with_capacity(BUFFER, zstd::Decoder::new(file)?)),
        _ => Box::new(BufReader::with_capacity(BUFFER, file)),
    })
}

const BUFFER: usize = 1 << 18;

/// Answers whether there was no wish to stop.
fn read_lines(
    mut reader: impl BufRead,
    number: &mut i64,
    each: &mut impl FnMut(i64, &[u8]) -> bool,
) -> io::Result<bool> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(true);
        }
        let text = line.trim_ascii();
        if !text.is_empty() && !each(*number, text) {
            return Ok(false);
        }
        *number += 1;
    }
}

/// Counts what is read through it.
struct Counted<R, F> {
    inner: R,
    advance: F,
}

impl<R: Read, F: Fn(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.advance)(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(path: &Path) -> Vec<(i64, String)> {
        let mut lines = Vec::new();
        let input = Input::open(path).expect("readable");
        let each = |number, line: &[u8]| {
            lines.push((number, String::from_utf8_lossy(line).into_owned()));
            true
        };
        input.lines(|_| (), each).expect("readable");
        lines
    }

    #[test]
    fn a_folder_is_read_in_order_whatever_the_compression() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.jsonl"), "one\n\ntwo").expect("written");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"three\r\n").expect("encoded");
        std::fs::write(folder.path().join("b.jsonl.gz"), gz.finish().expect("encoded")).expect("written");
        let zst = zstd::encode_all(&b"four\n"[..], 1).expect("encoded");
        std::fs::write(folder.path().join("c.jsonl.zst"), zst).expect("written");
        std::fs::write(folder.path().join("notes.txt"), "no").expect("written");
        let expected = [(0, "one"), (2, "two"), (3, "three"), (4, "four")];
        assert_eq!(lines_of(folder.path()), expected.map(|(number, line)| (number, line.to_owned())));
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Input::open(&folder.path().join("none.jsonl")).expect_err("missing");
        assert!(error.contains("none.jsonl"), "{error}");
        let error = Input::open(folder.path()).expect_err("empty");
        assert!(error.contains(".jsonl.gz"), "{error}");
    }
}
