//! The object store: where it is, what is in it, and puts that end in a certain outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientConfigKey;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use parquet::file::metadata::{FooterTail, ParquetMetaDataReader};

use super::LakeConfig;
use super::encode::{Footer, Object};
use crate::SinkError;
use crate::cut::Table;
use crate::failpoint::{Failpoint, pass};

/// A failing request is repeated after 100 ms, then twice as long each time, up to this.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// A failure that lasts is logged once in this period.
const LOG_PERIOD: Duration = Duration::from_secs(10);
/// What is read of an object's end at first; nearly every footer is smaller.
const FOOTER_GUESS: u64 = 64 << 10;
/// A whole file travels in one request, which the client's default of 30 s may cut off. `AWS_TIMEOUT` wins.
const REQUEST_TIMEOUT: &str = "300 seconds";

/// How to reach S3, where the environment's `AWS_*` variables do not say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Options {
    /// Server, such as `http://127.0.0.1:9000`; absent for AWS.
    pub endpoint: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// Any further key of `object_store`'s S3 client, such as `aws_access_key_id`.
    pub properties: BTreeMap<String, String>,
}

/// A store and the lake's root in it.
#[derive(Clone, Debug)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    root: Path,
    name: String,
}

impl Place {
    /// A place in an open store.
    pub fn new(store: Arc<dyn ObjectStore>, root: &str) -> Self {
        Place { name: format!("{store}/{root}"), store, root: Path::from(root) }
    }

    /// Opens the store that `config` names; an `s3` one is not contacted yet.
    ///
    /// # Errors
    /// [`SinkError::Rejected`] on a URL or an option that does not work.
    pub fn open(config: &LakeConfig) -> Result<Self, SinkError> {
        let url = config.url.as_str();
        let refused =
            |error: super::super::epoch_writer::BoxError| SinkError::Rejected(format!("lake.url = {url:?}"), error);
        let (store, root): (Arc<dyn ObjectStore>, _) = if let Some(path) = url.strip_prefix("file://") {
            std::fs::create_dir_all(path).map_err(|error| refused(error.into()))?;
            let store = LocalFileSystem::new_with_prefix(path).map_err(|error| refused(error.into()))?;
            // Without it a put is durable only when the kernel gets round to it.
            (Arc::new(store.with_fsync(true)), "")
        } else if let Some(rest) = url.strip_prefix("s3://") {
            let store = s3(url, &config.s3).map_err(|error| refused(error.into()))?;
            (Arc::new(store), rest.split_once('/').map_or("", |(_, prefix)| prefix))
        } else {
            return Err(refused("expected file:///path or s3://bucket/prefix".into()));
        };
        Ok(Place { store, root: Path::from(root), name: url.to_owned() })
    }

    fn path(&self, name: &str) -> Path {
        Path::from_iter(self.root.parts().chain(Path::from(name).parts()))
    }

    /// Names, under the root, of all objects of all tables. A store that does not answer is tried
    /// again until `timeout`.
    pub(crate) async fn list(&self, timeout: Duration) -> Result<Vec<String>, SinkError> {
        self.names(&Table::ALL.map(Table::name), timeout).await
    }

    /// The same of these folders.
    pub(crate) async fn names(&self, folders: &[&str], timeout: Duration) -> Result<Vec<String>, SinkError> {
        let started = Instant::now();
        let mut retry = Retry::new(format!("listing {}", self.name));
        loop {
            match self.try_names(folders).await {
                Ok(names) => return Ok(names),
                Err(error) if is_permanent(&error) || started.elapsed() >= timeout => {
                    return Err(SinkError::Rejected(format!("listing {}", self.name), error.into()));
                }
                Err(error) => retry.wait(&error).await,
            }
        }
    }

    async fn try_names(&self, folders: &[&str]) -> object_store::Result<Vec<String>> {
        let mut names = Vec::new();
        for folder in folders {
            let folder = self.path(folder);
            let mut objects = self.store.list(Some(&folder));
            while let Some(object) = objects.try_next().await? {
                let name = object.location.prefix_match(&self.root).map(|parts| Path::from_iter(parts).to_string());
                names.extend(name);
            }
        }
        Ok(names)
    }

    /// All bytes of an object. A store that does not answer is tried again until `timeout`.
    pub(crate) async fn get(&self, name: &str, timeout: Duration) -> object_store::Result<bytes::Bytes> {
        let path = self.path(name);
        let started = Instant::now();
        let mut retry = Retry::new(format!("reading {path} from {}", self.name));
        loop {
            match self.read(&path).await {
                Err(error) if !is_missing(&error) && !is_permanent(&error) && started.elapsed() < timeout => {
                    retry.wait(&error).await;
                }
                read => return read,
            }
        }
    }

    /// Puts an object that is not there yet. Returns once it is known to be there: a failure whose outcome
    /// is unknown is tried again for as long as it takes, and finding the object in
    /// place counts as success if it is the same.
    ///
    /// # Errors
    /// [`SinkError::Conflict`] if another object has its name, [`SinkError::Rejected`] if the store
    /// can never take it.
    pub(super) async fn put(&self, object: &Object) -> Result<(), SinkError> {
        let path = self.path(&object.name);
        let payload = PutPayload::from(object.bytes.clone());
        let mut retry = Retry::new(format!("putting {path} to {}", self.name));
        pass(Failpoint::BeforeCutPut);
        loop {
            let error = match self.store.put_opts(&path, payload.clone(), PutMode::Create.into()).await {
                Ok(_) => {
                    pass(Failpoint::AfterCutPut);
                    return Ok(());
                }
                Err(object_store::Error::AlreadyExists { .. }) => match self.footer(&path).await {
                    Ok(Some(footer)) if footer == object.footer => return Ok(()),
                    Ok(found) => return Err(conflict(&path, &object.footer, found)),
                    // Not found: another put of the same name was under way and failed.
                    Err(error) => error,
                },
                Err(error) if is_permanent(&error) => {
                    return Err(SinkError::Rejected(format!("lake: putting {path}"), error.into()));
                }
                Err(error) => error,
            };
            retry.wait(&error).await;
        }
    }

    /// Puts bytes under a name that nobody else uses, however often it takes.
    ///
    /// # Errors
    /// [`SinkError::Conflict`] if other bytes have the name, [`SinkError::Rejected`] if the store can never take it.
    pub(crate) async fn put_new(&self, name: &str, bytes: bytes::Bytes) -> Result<(), SinkError> {
        let path = self.path(name);
        let payload = PutPayload::from(bytes.clone());
        let mut retry = Retry::new(format!("putting {path} to {}", self.name));
        loop {
            let error = match self.store.put_opts(&path, payload.clone(), PutMode::Create.into()).await {
                Ok(_) => return Ok(()),
                // A put whose answer was lost has put the same bytes.
                Err(object_store::Error::AlreadyExists { .. }) => match self.read(&path).await {
                    Ok(found) if found == bytes => return Ok(()),
                    Ok(_) => return Err(SinkError::Conflict(format!("{path} exists in {} and differs", self.name))),
                    Err(error) => error,
                },
                Err(error) if is_permanent(&error) => {
                    return Err(SinkError::Rejected(format!("putting {path}"), error.into()));
                }
                Err(error) => error,
            };
            retry.wait(&error).await;
        }
    }

    async fn read(&self, path: &Path) -> object_store::Result<bytes::Bytes> {
        self.store.get(path).await?.bytes().await
    }

    /// Removes objects; those that are gone already are no error.
    pub(crate) async fn remove(&self, names: impl Iterator<Item = String>) -> Result<(), SinkError> {
        for name in names {
            let path = self.path(&name);
            match self.store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(SinkError::Rejected(format!("removing {path}"), error.into())),
            }
        }
        Ok(())
    }

    /// What an object says about itself; `None` if it is not one of ours.
    async fn footer(&self, path: &Path) -> object_store::Result<Option<Footer>> {
        let end = self.suffix(path, FOOTER_GUESS).await?;
        let Some(tail) = end.last_chunk::<8>().and_then(|tail| FooterTail::try_from(*tail).ok()) else {
            return Ok(None);
        };
        let len = tail.metadata_length();
        let end = if end.len() < len + 8 {
            self.suffix(path, u64::try_from(len + 8).expect("a length fits in 64 bits")).await?
        } else {
            end
        };
        let metadata = end.len().checked_sub(len + 8).map(|start| &end[start..end.len() - 8]);
        let metadata = metadata.and_then(|bytes| ParquetMetaDataReader::decode_metadata(bytes).ok());
        Ok(metadata.and_then(|metadata| Footer::parse(metadata.file_metadata().key_value_metadata()?)))
    }

    async fn suffix(&self, path: &Path, len: u64) -> object_store::Result<bytes::Bytes> {
        let options = GetOptions { range: Some(GetRange::Suffix(len)), ..GetOptions::default() };
        self.store.get_opts(path, options).await?.bytes().await
    }
}

fn s3(url: &str, options: &S3Options) -> object_store::Result<object_store::aws::AmazonS3> {
    let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
    let mut builder = AmazonS3Builder::from_env().with_url(url);
    if std::env::var_os("AWS_TIMEOUT").is_none() {
        builder = builder.with_config(timeout, REQUEST_TIMEOUT);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if options.allow_http {
        builder = builder.with_allow_http(true);
    }
    for (key, value) in &options.properties {
        builder = builder.with_config(key.parse()?, value);
    }
    builder.build()
}

/// Trying again cannot help: the store cannot create conditionally, or the name is impossible.
fn is_permanent(error: &object_store::Error) -> bool {
    use object_store::Error::{InvalidPath, NotImplemented, NotSupported, UnknownConfigurationKey};
    matches!(error, NotSupported { .. } | NotImplemented { .. } | InvalidPath { .. } | UnknownConfigurationKey { .. })
}

fn is_missing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

fn conflict(path: &Path, ours: &Footer, found: Option<Footer>) -> SinkError {
    let found = found.map_or("an object that Questline did not write".to_owned(), |found| format!("{found:?}"));
    SinkError::Conflict(format!("lake: {path} exists and differs: it is {found}, and was to be {ours:?}"))
}

/// Waits between attempts, and says so once a period.
struct Retry {
    what: String,
    attempts: u32,
    backoff: Duration,
    logged: Option<Instant>,
}

impl Retry {
    fn new(what: String) -> Self {
        Retry { what, attempts: 0, backoff: Duration::from_millis(100), logged: None }
    }

    async fn wait(&mut self, error: &object_store::Error) {
        self.attempts += 1;
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_PERIOD) {
            tracing::warn!(what = self.what, attempts = self.attempts, %error, "lake store failed, trying again");
            self.logged = Some(Instant::now());
        }
        tokio::time::sleep(self.backoff).await;
        self.backoff = MAX_BACKOFF.min(self.backoff * 2);
    }
}
