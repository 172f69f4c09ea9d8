//! Places at which a test lets the process die: for proofs that nothing is lost or repeated there.
//!
//! `QUESTLINE_FAILPOINT=name:n` ends the process when it comes to the place for the n-th time, as
//! abruptly as SIGKILL does: nothing is dropped, flushed or said to anybody but standard error.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

/// The variable that names a place.
pub const VARIABLE: &str = "QUESTLINE_FAILPOINT";

/// A place. Its name is the variant's, in kebab case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failpoint {
    /// A transaction is open, nothing was sent in it.
    BeforeProduce,
    /// Everything is handed to the client, not all of it acknowledged.
    AfterProduce,
    /// Everything is acknowledged.
    BeforeCommit,
    /// The broker has committed, nobody else was told.
    AfterCommit,
    /// Everybody was told of the commit.
    AfterProgress,
    /// A transaction is open that is to record cuts.
    BeforeCutRecord,
    /// It is committed, the lake was not told.
    AfterCutRecord,
    /// An object is encoded.
    BeforeCutPut,
    /// It is in the store, nobody was told.
    AfterCutPut,
    /// A checkpoint's segment is encoded.
    BeforeSegmentPut,
    /// The segment is in place, and what went cold is on the disk and not in the store. Only where something did.
    BeforeColdPut,
    /// The segment is in place with all that went cold, and no manifest names it.
    BeforeManifestPut,
    /// The manifest is in place, and nothing older was removed.
    AfterManifestPut,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

#[derive(Debug)]
struct Armed {
    at: Failpoint,
    left: AtomicU64,
}

/// Arms the place that the environment names, if it names one.
///
/// # Errors
/// A value that is not `name:n`; the message lists the names.
pub fn arm() -> Result<(), String> {
    let Some(value) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let armed = parse(&value.to_string_lossy()).map_err(|error| format!("{VARIABLE}: {error}"))?;
    // A second call finds the same environment.
    let _ = ARMED.set(armed);
    Ok(())
}

/// The process is at this place.
pub fn pass(at: Failpoint) {
    if let Some(armed) = ARMED.get().filter(|armed| armed.at == at)
        && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        eprintln!("failpoint {at:?}: the process ends here");
        std::process::abort();
    }
}

fn parse(value: &str) -> Result<Armed, String> {
    let (name, times) = value.split_once(':').unwrap_or((value, ""));
    let at = Failpoint::deserialize(name.into_deserializer()).map_err(|error: Error| error.to_string())?;
    match times.parse() {
        Ok(times @ 1..) => Ok(Armed { at, left: AtomicU64::new(times) }),
        _ => Err(format!("{value:?} does not say at which passing: write {name}:1 for the first")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_a_place_and_a_passing() {
        let armed = parse("before-cut-put:3").unwrap();
        assert_eq!((armed.at, armed.left.into_inner()), (Failpoint::BeforeCutPut, 3));
        for value in ["before-commit", "before-commit:", "before-commit:0", "before-commit:x"] {
            assert!(parse(value).unwrap_err().ends_with("write before-commit:1 for the first"), "{value}");
        }
        let said = parse("nowhere:1").unwrap_err();
        assert!(said.starts_with("unknown variant `nowhere`, expected one of `before-produce`, `after-"), "{said}");
    }
}
