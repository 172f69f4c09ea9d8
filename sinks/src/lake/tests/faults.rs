//! Stores that fail on purpose.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::support::*;
use crate::lake::LakeWriter;
use crate::{EpochWriter, SinkError, contract};

/// What goes wrong with a put.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The object is not there after.
    Before,
    /// The object is there, and the answer is lost.
    After,
    /// The object is not there, although the store says so: another put was under way and failed.
    SaysExists,
}

/// Fails every put's first attempts.
#[derive(Debug)]
struct Faulty {
    store: Arc<dyn ObjectStore>,
    fault: Fault,
    /// Of this many attempts, the last one succeeds.
    period: usize,
    attempts: AtomicUsize,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.store)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        if attempt.is_multiple_of(self.period) {
            return self.store.put_opts(location, payload, opts).await;
        }
        match self.fault {
            Fault::Before => Err(Error::Generic { store: "faulty", source: "connection refused".into() }),
            Fault::After => {
                self.store.put_opts(location, payload, opts).await?;
                Err(Error::Generic { store: "faulty", source: "connection reset".into() })
            }
            Fault::SaysExists => Err(Error::AlreadyExists { path: location.to_string(), source: "409".into() }),
        }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        panic!("a multipart upload cannot be conditional")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[test]
fn a_put_is_repeated_until_its_outcome_is_known() {
    for (fault, period) in [(Fault::Before, 3), (Fault::After, 2), (Fault::After, 3), (Fault::SaysExists, 2)] {
        let store = memory();
        let faulty = Faulty { store: store.clone(), fault, period, attempts: AtomicUsize::new(0) };
        let faulty: Arc<dyn ObjectStore> = Arc::new(faulty);
        let mut writer = LakeWriter::open_at(place(&faulty), &config(aged(30)), 0, 1, names()).unwrap();
        let epochs = contract::script(0..6);
        writer.commit(&epochs).unwrap();
        let handle = writer.handle().clone();
        let totals = writer.finish().unwrap();
        assert_eq!(handle.bytes_in_flight(), 0);
        let stored: u64 = read(&store).iter().map(|read| read.footer.rows).sum();
        assert_eq!(totals.tables.values().map(|table| table.rows).sum::<u64>(), stored, "{fault:?}");
        let completions: usize = table(&store, "completions").iter().map(|read| read.rows.num_rows()).sum();
        assert_eq!(completions, epochs.iter().map(|out| out.completions.len()).sum::<usize>(), "{fault:?}");
    }
}

#[test]
fn another_object_under_our_name_stops_the_lake() {
    let first = memory();
    let mut writer = LakeWriter::open_at(place(&first), &config(aged(30)), 0, 1, names()).unwrap();
    writer.commit(&contract::script(4..5).iter().map(|out| renumbered(out, 0)).collect::<Vec<_>>()).unwrap();
    writer.commit(&contract::script(1..4)).unwrap();
    writer.finish().unwrap();
    let of_another_run = table(&first, "epochs").remove(0);
    let bytes = wait(async { first.get(&of_another_run.name.clone().into()).await.unwrap().bytes().await.unwrap() });
    for other in [bytes, "not Parquet at all".into(), "".into()] {
        let store = memory();
        let mut writer = LakeWriter::open_at(place(&store), &config(aged(30)), 0, 1, names()).unwrap();
        // Appears after the listing, as another instance's would.
        wait(store.put(&of_another_run.name.clone().into(), other.clone().into())).unwrap();
        writer.commit(&contract::script(0..4)).unwrap();
        let handle = writer.handle().clone();
        let error = writer.finish().unwrap_err();
        assert!(matches!(&error, SinkError::Conflict(said) if said.contains("exists and differs")), "{error}");
        assert!(matches!(handle.error(), Some(SinkError::Conflict(_))));
        let kept = wait(async { store.get(&of_another_run.name.clone().into()).await.unwrap().bytes().await.unwrap() });
        assert_eq!(kept, other, "never overwritten");
    }
}

fn renumbered(out: &datasets::rows::EpochOutputs, epoch: u64) -> Arc<datasets::rows::EpochOutputs> {
    Arc::new(datasets::rows::EpochOutputs { epoch, ..out.clone() })
}

#[test]
fn after_an_error_a_writer_refuses() {
    let store = memory();
    let mut writer = LakeWriter::open_at(place(&store), &config(aged(0)), 1, 1, names()).unwrap();
    writer.handle().history(0, 0, history(5, 2));
    writer.handle().history_upper(0, 1);
    writer.commit(&contract::script(0..1)).unwrap();
    let error = writer.handle().finish().unwrap_err();
    assert!(error.to_string().contains("lane 5"), "{error}");
    assert!(writer.commit(&contract::script(1..2)).is_err());
    assert!(writer.resume_upper().is_err());
}
