//! [`LakeWriter`]: the contract, and what it does beyond it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datasets::rows::EpochOutputs;
use datasets::schema::SCHEMA_VERSION;
use datasets::{Epoch, Money};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};

use super::support::*;
use crate::EpochWriter;
use crate::contract::{self, Harness, Seen};
use crate::lake::{CutLimits, LakeConfig, LakeWriter};

struct InStore {
    store: Arc<dyn ObjectStore>,
    config: LakeConfig,
}

impl Harness for InStore {
    type Writer = LakeWriter;
    const KEEPS: bool = true;

    fn open(&mut self) -> LakeWriter {
        LakeWriter::open_at(place(&self.store), &self.config, 0, 1, names()).unwrap()
    }

    fn finish(&mut self, writer: LakeWriter) {
        writer.finish().unwrap();
    }

    fn seen(&mut self) -> Seen {
        seen(&self.store)
    }
}

struct OnDisk {
    folder: tempfile::TempDir,
}

impl OnDisk {
    fn config(&self) -> LakeConfig {
        let url = format!("file://{}/lake", self.folder.path().display());
        LakeConfig { limits: aged(20), ..LakeConfig::new(url) }
    }
}

impl Harness for OnDisk {
    type Writer = LakeWriter;
    const KEEPS: bool = true;

    fn open(&mut self) -> LakeWriter {
        LakeWriter::open(&self.config(), 0, 1, names()).unwrap()
    }

    fn finish(&mut self, writer: LakeWriter) {
        writer.finish().unwrap();
    }

    fn seen(&mut self) -> Seen {
        let store: Arc<dyn ObjectStore> =
            Arc::new(LocalFileSystem::new_with_prefix(self.folder.path().join("lake")).unwrap());
        seen(&store)
    }
}

/// Identities as the contract makes them, from the columns; epochs order rows across files.
fn seen(store: &Arc<dyn ObjectStore>) -> Seen {
    let rows = |name: &str, columns: &[&str]| {
        let mut rows: Vec<(i64, String)> = Vec::new();
        for read in table(store, name) {
            for (row, epoch) in ints(&read.rows, "epoch").into_iter().enumerate() {
                let cells: Vec<String> = columns.iter().map(|column| cell(&read.rows, column, row)).collect();
                rows.push((epoch, cells.join(" ")));
            }
        }
        rows.sort_by_key(|(epoch, _)| *epoch);
        rows.into_iter().map(|(_, row)| row).collect()
    };
    Seen {
        completions: rows("completions", &["completion_id", "revision"]),
        audit: rows("audit", &["completion_id", "revision"]),
        points: rows("points", &["player_id", "line"]),
        tiers: rows("tiers", &["player_id", "revision"]),
        activity: rows("activity", &["date", "customer_id", "game_type", "currency", "revision"]),
        transactions: rows("transactions", &["transaction_id", "status"]),
        customers: rows("customers", &["customer_id", "affiliate_id"]),
        reviews: rows("reviews", &["entity", "key", "field", "reason"]),
        dead_letters: rows("dead_letters", &["topic", "partition", "offset", "record_index"]),
    }
}

fn cell(rows: &arrow_array::RecordBatch, column: &str, row: usize) -> String {
    use arrow_array::cast::AsArray;
    let array = rows.column_by_name(column).unwrap();
    match array.data_type() {
        arrow_schema::DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        arrow_schema::DataType::Date32 => {
            let days = array.as_primitive::<arrow_array::types::Date32Type>().value(row);
            datasets::time::Date::from_days(days).to_string()
        }
        _ => ints(rows, column)[row].to_string(),
    }
}

/// A prefix of its own on a real S3 server.
struct OnS3 {
    url: String,
}

impl OnS3 {
    /// `base` is `s3://bucket/prefix`; the environment's `AWS_*` variables say how to reach it.
    fn new(base: &str) -> Self {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        let place = PLACES.fetch_add(1, Ordering::Relaxed);
        OnS3 { url: format!("{base}/{}-{place}", std::process::id()) }
    }
}

impl Harness for OnS3 {
    type Writer = LakeWriter;
    const KEEPS: bool = true;

    fn open(&mut self) -> LakeWriter {
        let config = LakeConfig { limits: aged(20), ..LakeConfig::new(self.url.as_str()) };
        LakeWriter::open(&config, 0, 1, names()).unwrap()
    }

    fn finish(&mut self, writer: LakeWriter) {
        writer.finish().unwrap();
    }

    fn seen(&mut self) -> Seen {
        let (_, prefix) = self.url.trim_start_matches("s3://").split_once('/').unwrap();
        let s3 = AmazonS3Builder::from_env().with_url(self.url.as_str()).build().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(s3, prefix));
        seen(&store)
    }
}

#[test]
#[ignore = "needs an S3 server; scripts/test starts one and runs this too"]
fn keeps_the_contract_on_s3() {
    let bucket = std::env::var("QUESTLINE_S3_BUCKET").unwrap();
    contract::check(|| OnS3::new(&format!("s3://{bucket}/contract")));
}

#[test]
fn keeps_the_contract_in_memory() {
    let tiny = CutLimits { max_file_bytes: 1, ..CutLimits::default() };
    for limits in [CutLimits::default(), aged(20), tiny] {
        contract::check(|| InStore { store: memory(), config: config(limits.clone()) });
    }
}

#[test]
fn keeps_the_contract_on_disk() {
    contract::check(|| OnDisk { folder: tempfile::tempdir().unwrap() });
}

/// A lake of epochs up to 6 that is one cut of this version.
fn whole(version: u16, epochs: &[Arc<EpochOutputs>]) -> Arc<dyn ObjectStore> {
    let store = memory();
    // So begins a cut that a version has begun: on a day that nothing else is of.
    let begun = format!("lake/root/events/ingest_dt=1999-01-01/events-v{version}-00-000000000000-000000000005.parquet");
    wait(async { store.put(&begun.clone().into(), "begun".into()).await.unwrap() });
    let mut writer = LakeWriter::open_at(place(&store), &config(aged(1_000)), 0, 1, names()).unwrap();
    writer.commit(&epochs[..6]).unwrap();
    writer.finish().unwrap();
    wait(async { store.delete(&begun.into()).await.unwrap() });
    store
}

#[test]
fn an_interrupted_cut_is_completed_along_its_own_bounds() {
    let epochs = contract::script(0..9);
    for version in 1..=SCHEMA_VERSION {
        let whole = whole(version, &epochs);
        let objects = read(&whole);
        for read in &objects {
            assert!(read.name.contains(&format!("-v{version}-")), "{}", read.name);
        }
        // Puts go in order of tables, so every prefix of them that lacks `epochs` is what a crash leaves.
        for kept in 0..objects.len() {
            let store = memory();
            wait(async {
                for read in objects.iter().filter(|read| !read.name.contains("epochs")).take(kept) {
                    let path = read.name.clone().into();
                    let bytes = whole.get(&path).await.unwrap().bytes().await.unwrap();
                    store.put(&path, bytes.into()).await.unwrap();
                }
            });
            let mut writer = LakeWriter::open_at(place(&store), &config(aged(1_000)), 0, 1, names()).unwrap();
            assert_eq!(writer.resume_upper().unwrap(), 0);
            writer.commit(&epochs).unwrap();
            writer.finish().unwrap();
            assert_eq!(seen(&store).completions.len(), epochs.iter().map(|out| out.completions.len()).sum::<usize>());
            let mut ids = seen(&store).completions;
            ids.dedup();
            assert_eq!(ids.len(), seen(&store).completions.len(), "{kept} objects of version {version} were in place");
        }
    }
}

#[test]
fn a_cut_of_activity_holds_the_last_revision() {
    let store = memory();
    let mut writer = LakeWriter::open_at(place(&store), &config(aged(1_000)), 0, 1, names()).unwrap();
    let revision = |epoch: Epoch| {
        let mut out = EpochOutputs::clone(&contract::script(1..2)[0]);
        (out.epoch, out.now) = (epoch, clock(epoch));
        out.activity[0].revision = epoch + 1;
        out.activity[0].ggr = Money::from_units(5);
        Arc::new(out)
    };
    writer.commit(&[revision(0), revision(1), revision(2)]).unwrap();
    writer.finish().unwrap();
    let mut writer = LakeWriter::open_at(place(&store), &config(aged(1_000)), 0, 1, names()).unwrap();
    writer.commit(&[revision(3)]).unwrap();
    writer.finish().unwrap();
    let revisions: Vec<_> = table(&store, "activity").iter().map(|read| ints(&read.rows, "revision")).collect();
    assert_eq!(revisions, [[3], [4]]);
}

#[test]
fn a_place_that_cannot_be_is_refused() {
    for url in ["http://x/y", "/tmp/lake", "file:///proc/no/such"] {
        let refused = LakeWriter::open(&LakeConfig::new(url), 0, 1, names());
        assert!(matches!(refused, Err(crate::SinkError::Rejected(_, _))), "{url}");
    }
}
