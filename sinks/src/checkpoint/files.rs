//! Files of cold state beside a process that puts no checkpoints: another one puts what went cold here into packs, which are
//! fetched from the store once a manifest names them. Until then it is in memory.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, Sender, unbounded};
use datasets::cold::ColdBytes;
use datasets::state::Part;
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::xxh3_64;

use super::CheckpointConfig;
use super::local::Local;
use super::manifest::{Manifest, Problem, seq_of};
use super::pack;
use super::recovery::{Folder, Found, Recovered};
use crate::SinkError;
use crate::background::give_way;

enum News {
    Cold(Part, Arc<ColdBytes>),
    InPlace(String),
}

/// Where what went cold, and what checkpoints are in place, is told. Clones are the same.
#[derive(Clone)]
pub struct ColdFiles {
    sender: Sender<News>,
    failure: Arc<OnceLock<String>>,
}

impl ColdFiles {
    /// Starts the thread that fetches into the folder of cold state which was opened with `found`. What `recovered` names is there
    /// already. It ends when every handle is gone.
    ///
    /// # Errors
    /// [`SinkError::Rejected`] if it cannot be started.
    ///
    /// # Panics
    /// Without such a folder.
    pub fn start(config: &CheckpointConfig, found: Found, recovered: Option<&Recovered>) -> Result<Self, SinkError> {
        let (sender, news) = unbounded();
        let failure = Arc::new(OnceLock::new());
        let Found { folder, runtime } = found;
        let local = folder.local.clone().expect("whoever lets state go cold has a folder for it");
        let seen = recovered.map(|recovered| recovered.manifest.seq);
        let before = recovered.map_or_else(BTreeSet::new, |recovered| packs_of(&recovered.manifest));
        let fetching = Fetching {
            config: config.clone(),
            folder,
            local,
            seen,
            fetched: BTreeSet::new(),
            waiting: Vec::new(),
            before,
        };
        let told = failure.clone();
        let spawned =
            std::thread::Builder::new().name("cold".to_owned()).spawn(move || run(fetching, &runtime, &news, &told));
        spawned.map_err(|error| SinkError::Rejected("cold state: starting".to_owned(), error.into()))?;
        Ok(ColdFiles { sender, failure })
    }

    /// This went cold, and is on its way to whoever puts checkpoints. Told before that, so that it is known when its pack is.
    pub fn cold(&self, part: Part, bytes: Arc<ColdBytes>) {
        self.send(News::Cold(part, bytes));
    }

    /// The manifest of this name is in place. Not every one has to be told.
    pub fn in_place(&self, manifest: String) {
        self.send(News::InPlace(manifest));
    }

    /// Why the pipeline cannot go on: what went cold has no place on the disk.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    fn send(&self, news: News) {
        // A thread that is gone has said why.
        let _ = self.sender.send(news);
    }
}

fn run(mut fetching: Fetching, runtime: &Runtime, news: &Receiver<News>, failure: &OnceLock<String>) {
    give_way();
    while let Ok(first) = news.recv() {
        let mut last = None;
        for one in std::iter::once(first).chain(news.try_iter()) {
            match one {
                News::Cold(part, bytes) => fetching.wait_for(part, bytes),
                News::InPlace(manifest) => last = Some(manifest),
            }
        }
        let Some(manifest) = last else { continue };
        match runtime.block_on(fetching.follow(&manifest)) {
            Ok(()) => {}
            // It stays in memory, where it is right; but memory would grow until it ends.
            Err(Unfetched::Disk(error)) => return drop(failure.set(crate::chain(&error))),
            Err(Unfetched::Store(why)) => {
                tracing::warn!(manifest, %why, "what went cold stays in memory until the next checkpoint");
            }
        }
    }
}

fn packs_of(manifest: &Manifest) -> BTreeSet<String> {
    manifest.cold.iter().map(|cold| cold.name.clone()).collect()
}

/// Why a file is not there yet.
enum Unfetched {
    Disk(SinkError),
    /// The next manifest names it too.
    Store(Problem),
}

struct Fetching {
    config: CheckpointConfig,
    folder: Folder,
    local: Local,
    /// Nothing that is waited for is in packs up to this number, nor in those that were fetched since.
    seen: Option<u64>,
    fetched: BTreeSet<String>,
    /// What is in memory only, with the hash of its bytes.
    waiting: Vec<(Part, u64, Arc<ColdBytes>)>,
    /// Packs of the manifest before.
    before: BTreeSet<String>,
}

impl Fetching {
    fn wait_for(&mut self, part: Part, bytes: Arc<ColdBytes>) {
        // In memory it can be read; and what is not waited for stays there.
        if let Ok(run) = bytes.read(0..bytes.len()) {
            self.waiting.push((part, xxh3_64(&run), bytes));
        }
    }

    /// Fetches the new packs of a manifest, as long as there may be something in them that went cold here. Others are fetched when a start needs
    /// them.
    async fn follow(&mut self, manifest: &str) -> Result<(), Unfetched> {
        let manifest = self.folder.manifest(&self.config, manifest).await.map_err(Unfetched::Store)?;
        for cold in &manifest.cold {
            let is_known = seq_of(&cold.name) <= self.seen || self.fetched.contains(&cold.name);
            if self.waiting.is_empty() || is_known {
                continue;
            }
            let bytes = self.folder.get(&cold.name).await.map_err(Unfetched::Store)?;
            let places = pack::places(&bytes).map_err(|error| {
                Unfetched::Store(Problem::Unusable(format!("{}: {}", cold.name, crate::chain(&error))))
            })?;
            let file = self.local.keep(&cold.name, &bytes).map_err(Unfetched::Disk)?;
            for place in places {
                let found = self.waiting.extract_if(.., |(part, hash, _)| (*part, *hash) == (place.part, place.hash));
                found.for_each(|(.., run)| run.move_to(file.clone(), place.offset));
            }
            self.fetched.insert(cold.name.clone());
        }
        // What went cold was told before it was sent, so before this manifest was: what is told later is in none of its packs.
        self.seen = Some(manifest.seq).max(self.seen);
        self.fetched.clear();
        // A worker that is behind may still read in those of the one before.
        let needed = packs_of(&manifest);
        self.local.retain(|name| needed.contains(name) || self.before.contains(name));
        self.before = needed;
        Ok(())
    }
}
