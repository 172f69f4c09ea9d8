//! A model of object storage: requests that wait, fail before or after their effect, or take effect when nobody
//! waits for them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::rng::Rng;

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Request {
    Put(Path, Bytes),
    Delete(Path),
    /// A get or a list.
    Read,
}

/// A request that took effect.
#[derive(Clone, Debug)]
pub struct Effect {
    pub instance: usize,
    pub request: Request,
}

struct Waiting {
    ticket: u64,
    instance: usize,
    request: Request,
    /// Its client has given up.
    is_late: bool,
}

#[derive(Default)]
struct State {
    tickets: u64,
    waiting: Vec<Waiting>,
    answers: BTreeMap<u64, Result<()>>,
}

/// The store; clones are the same.
#[derive(Clone)]
pub struct Store {
    objects: Arc<InMemory>,
    state: Arc<Mutex<State>>,
}

impl Store {
    pub fn new() -> Self {
        Store { objects: Arc::new(InMemory::new()), state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread")
    }

    /// As one instance reaches it.
    pub fn of(&self, instance: usize) -> Arc<dyn ObjectStore> {
        Arc::new(Reached { store: self.clone(), instance })
    }

    /// Everything that is there.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        let listed: Vec<ObjectMeta> =
            self.objects.list(None).try_collect().now_or_never().expect("memory").expect("memory");
        listed.into_iter().map(|object| (object.location.to_string(), self.read(&object.location))).collect()
    }

    pub fn names(&self) -> BTreeSet<String> {
        self.objects().into_keys().collect()
    }

    fn read(&self, path: &Path) -> Bytes {
        let get = async { self.objects.get(path).await?.bytes().await };
        get.now_or_never().expect("memory").expect("it is there")
    }

    /// The process has died: some of its requests are on their way.
    pub fn leave(&self, instance: usize, rng: &mut Rng) {
        let mut state = self.state();
        state.waiting.retain(|waiting| waiting.instance != instance || rng.one_in(2));
        for waiting in state.waiting.iter_mut().filter(|waiting| waiting.instance == instance) {
            waiting.is_late = true;
        }
    }

    /// Something happens to one request. Answers what took effect.
    pub fn act(&self, rng: &mut Rng, has_faults: bool) -> Option<Effect> {
        let mut state = self.state();
        let Waiting { ticket, instance, request, is_late } = rng.take(&mut state.waiting)?;
        let fate = if has_faults { rng.below(40) } else { 40 };
        if is_late && fate < 10 {
            return None;
        }
        let failed = || Error::Generic { store: "simulated", source: "503".into() };
        let (takes_effect, answer) = match (&request, fate) {
            (_, 0..2) => (false, Err(failed())),
            (_, 2..4) => (true, Err(failed())),
            (Request::Put(..) | Request::Delete(_), 4) => {
                state.waiting.push(Waiting { ticket, instance, request: request.clone(), is_late: true });
                (false, Err(failed()))
            }
            (Request::Put(path, _), 5..15) if state.waiting.iter().any(|other| is_put(&other.request, path)) => {
                (false, Err(Error::AlreadyExists { path: path.to_string(), source: "409".into() }))
            }
            _ => (true, Ok(())),
        };
        let done = if takes_effect { self.apply(&request) } else { Ok(false) };
        let answer = answer.and_then(|()| done.as_ref().map(drop).map_err(again));
        state.answers.insert(ticket, answer);
        (done.is_ok_and(|changed| changed)).then_some(Effect { instance, request })
    }

    fn apply(&self, request: &Request) -> Result<bool> {
        match request {
            Request::Put(path, bytes) => {
                let put = self.objects.put_opts(path, PutPayload::from(bytes.clone()), PutMode::Create.into());
                put.now_or_never().expect("memory").map(|_| true)
            }
            Request::Delete(path) => {
                let is_there = self.objects.head(path).now_or_never().expect("memory").is_ok();
                self.objects.delete(path).now_or_never().expect("memory").map(|()| is_there)
            }
            Request::Read => Ok(false),
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.state().waiting.is_empty()
    }
}

fn is_put(request: &Request, at: &Path) -> bool {
    matches!(request, Request::Put(path, _) if path == at)
}

fn again(error: &Error) -> Error {
    match error {
        Error::AlreadyExists { path, .. } => Error::AlreadyExists { path: path.clone(), source: "412".into() },
        Error::NotFound { path, .. } => Error::NotFound { path: path.clone(), source: "404".into() },
        error => Error::Generic { store: "simulated", source: error.to_string().into() },
    }
}

struct Reached {
    store: Store,
    instance: usize,
}

impl Reached {
    fn ask(&self, request: Request) -> impl Future<Output = Result<()>> + Send + use<> {
        let store = self.store.clone();
        let ticket = {
            let mut state = store.state();
            state.tickets += 1;
            let ticket = state.tickets;
            state.waiting.push(Waiting { ticket, instance: self.instance, request, is_late: false });
            ticket
        };
        std::future::poll_fn(move |_| store.state().answers.remove(&ticket).map_or(Poll::Pending, Poll::Ready))
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the simulated store of instance {}", self.instance)
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Reached {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        assert_eq!(opts.mode, PutMode::Create, "everything is created, and nothing overwritten");
        self.ask(Request::Put(location.clone(), payload.into())).await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        panic!("a multipart upload cannot be conditional")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.ask(Request::Read).await?;
        self.store.objects.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let reached = Reached { store: self.store.clone(), instance: self.instance };
        locations
            .then(move |path| {
                let deleted = path.map(|path| (reached.ask(Request::Delete(path.clone())), path));
                async move {
                    let (asked, path) = deleted?;
                    asked.await.map(|()| path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (asked, objects, prefix) = (self.ask(Request::Read), self.store.objects.clone(), prefix.cloned());
        let listed = async move { asked.await.map(|()| objects.list(prefix.as_ref())) };
        listed.try_flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unreachable!("nobody lists folders")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("nothing is copied")
    }
}
