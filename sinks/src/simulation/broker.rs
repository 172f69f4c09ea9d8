//! A model of Kafka's transactions: coordinators with epochs, partitions with markers and a stable offset, and
//! answers that are lost, late, or ask for patience.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::rng::Rng;
use super::world::Thread;
use crate::SinkError;
use crate::kafka::broker::{Answer, Cluster, Each, Failure, Isolation, Message, Transactional};

/// A partition by its topic and number.
pub type Where = (String, usize);

/// A message of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub key: Option<Vec<u8>>,
    pub payload: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Entry {
    Data { transaction: u64, sent: Sent },
    Marker,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    entries: Vec<Entry>,
    /// What lies below was removed.
    start: usize,
    /// Where transactions began whose marker is not here yet.
    open: BTreeMap<u64, usize>,
}

impl Partition {
    fn stable(&self) -> usize {
        self.open.values().copied().min().unwrap_or(self.entries.len())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Empty,
    Ongoing,
    /// Decided; markers are still to be written.
    Ending,
}

/// A coordinator's memory of one transactional id.
#[derive(Clone, Debug, Default)]
struct Id {
    epoch: u32,
    state: State,
    transaction: Option<u64>,
    touched: BTreeSet<Where>,
}

/// An end of a transaction that was asked for by a client that did not wait for it.
#[derive(Clone, Debug)]
struct Late {
    id: String,
    epoch: u32,
    transaction: Option<u64>,
    commits: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Broker {
    partitions: BTreeMap<Where, Partition>,
    ids: BTreeMap<String, Id>,
    late: Vec<Late>,
    transactions: u64,
    decided: BTreeMap<u64, bool>,
    progress: String,
}

/// What a coordinator says to one who takes an id over.
enum Init {
    Again,
    Ready(u32),
}

impl Broker {
    /// With this topic for the log.
    pub fn new(progress: String) -> Self {
        Broker { progress, ..Broker::default() }
    }

    fn init(&mut self, id: &str) -> Init {
        let known = self.ids.entry(id.to_owned()).or_default();
        match known.state {
            State::Ongoing => {
                known.epoch += 1;
                self.decide(id, false);
                Init::Again
            }
            State::Ending => Init::Again,
            State::Empty => {
                known.epoch += 1;
                Init::Ready(known.epoch)
            }
        }
    }

    fn decide(&mut self, id: &str, commits: bool) {
        let known = self.ids.get_mut(id).expect("a known id");
        known.state = State::Ending;
        self.decided.insert(known.transaction.expect("it is ongoing"), commits);
    }

    fn produce(
        &mut self,
        (id, epoch): (&str, u32),
        transaction: &mut Option<u64>,
        (at, sent): (Where, Sent),
    ) -> Result<(), Answer> {
        let known = self.ids.get_mut(id).expect("a known id");
        match (known.epoch == epoch, known.state) {
            (false, _) => return Err(Answer::Fenced),
            (true, State::Ending) => return Err(Answer::Again),
            (true, State::Empty) => {
                self.transactions += 1;
                (known.state, known.transaction) = (State::Ongoing, Some(self.transactions));
            }
            (true, State::Ongoing) => {}
        }
        *transaction = known.transaction;
        let number = known.transaction.expect("it is ongoing");
        known.touched.insert(at.clone());
        let partition = self.partitions.entry(at).or_default();
        partition.open.entry(number).or_insert(partition.entries.len());
        partition.entries.push(Entry::Data { transaction: number, sent });
        Ok(())
    }

    /// The end of `transaction`. Answers the transaction that was committed just now.
    fn end(
        &mut self,
        (id, epoch): (&str, u32),
        transaction: Option<u64>,
        commits: bool,
    ) -> Result<Option<u64>, Answer> {
        let known = self.ids.get_mut(id).expect("a known id");
        if known.epoch != epoch {
            return Err(Answer::Fenced);
        }
        let Some(number) = transaction else { return Ok(None) };
        match self.decided.get(&number) {
            Some(decided) if *decided == commits => Ok(None),
            Some(_) => Err(Answer::Other),
            None => {
                self.decide(id, commits);
                Ok(commits.then_some(number))
            }
        }
    }

    /// What a transaction has written, by partition.
    pub fn written(&self, transaction: u64) -> BTreeMap<Where, Vec<Sent>> {
        let mut written = BTreeMap::new();
        for (at, partition) in &self.partitions {
            let Some(first) = partition.open.get(&transaction) else { continue };
            let ours = partition.entries[*first..].iter().filter_map(|entry| match entry {
                Entry::Data { transaction: of, sent } if *of == transaction => Some(sent.clone()),
                _ => None,
            });
            written.insert(at.clone(), ours.collect());
        }
        written
    }

    /// What a reader of committed messages gets from there on, as far as it is stable now.
    pub fn committed(&self, at: &Where, from: usize) -> (Vec<(usize, Sent)>, usize) {
        let Some(partition) = self.partitions.get(at) else { return (Vec::new(), from) };
        let stable = partition.stable();
        let entries = partition.entries.iter().enumerate().take(stable).skip(from);
        let visible = entries.filter_map(|(offset, entry)| match entry {
            Entry::Data { transaction, sent } if self.decided.get(transaction) == Some(&true) => {
                Some((offset, sent.clone()))
            }
            _ => None,
        });
        (visible.collect(), stable)
    }

    /// One marker is written, if there is one to write.
    pub fn mark(&mut self, rng: &mut Rng) -> bool {
        let ending = self.ids.values_mut().filter(|id| id.state == State::Ending);
        let mut ending: Vec<&mut Id> = ending.collect();
        let Some(id) = rng.take(&mut ending) else { return false };
        let number = id.transaction.expect("it was ongoing");
        let mut touched: Vec<Where> = id.touched.iter().cloned().collect();
        if let Some(at) = rng.take(&mut touched) {
            id.touched.remove(&at);
            let partition = self.partitions.get_mut(&at).expect("it was written to");
            partition.entries.push(Entry::Marker);
            partition.open.remove(&number);
        }
        if id.touched.is_empty() {
            (id.state, id.transaction) = (State::Empty, None);
        }
        true
    }

    /// A transaction was open for too long. Answers its id.
    pub fn time_out(&mut self, rng: &mut Rng) -> Option<String> {
        let open = self.ids.iter().filter(|(_, id)| id.state == State::Ongoing);
        let mut open: Vec<String> = open.map(|(name, _)| name.clone()).collect();
        let id = rng.take(&mut open)?;
        self.ids.get_mut(&id).expect("it is there").epoch += 1;
        self.decide(&id, false);
        Some(id)
    }

    /// A request arrives whose client waits no more. Answers what it committed.
    pub fn arrive(&mut self, rng: &mut Rng) -> Option<u64> {
        let late = rng.take(&mut self.late)?;
        // Refused requests change nothing, and nobody hears of them.
        self.end((&late.id, late.epoch), late.transaction, late.commits).ok().flatten()
    }

    /// Nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.late.is_empty() && self.ids.values().all(|id| id.state == State::Empty)
    }
}

/// Where a message goes.
pub fn partition_of(topic: &str, key: Option<&[u8]>) -> Where {
    let is_spread = matches!(topic, "completions" | "audit" | "activity");
    let hash = xxhash_rust::xxh3::xxh3_64(key.unwrap_or_default());
    (topic.to_owned(), usize::from(is_spread && hash.is_multiple_of(2)))
}

/// The brokers, as a thread of the simulation sees them.
pub struct SimulatedCluster<'y>(pub Thread<'y>);

impl<'y> Cluster for SimulatedCluster<'y> {
    type Producer = SimulatedProducer<'y>;

    fn ensure_topics(&self) -> Result<usize, SinkError> {
        self.0.step();
        Ok(self.0.world.max_batch)
    }

    /// In any order, as threads do.
    fn take_over(&self, ids: Vec<String>, _: usize) -> Result<Vec<SimulatedProducer<'y>>, SinkError> {
        let Thread { world, instance, .. } = &self.0;
        let mut producers = BTreeMap::new();
        let mut left = ids;
        while !left.is_empty() {
            self.0.step();
            let place = world.below(left.len());
            world.takes_over(*instance);
            if let Init::Ready(epoch) = world.broker.borrow_mut().init(&left[place]) {
                let id = left.remove(place);
                producers.insert(id.clone(), SimulatedProducer::new(self.0.clone(), id, epoch));
            }
        }
        Ok(producers.into_values().collect())
    }

    fn offsets(&self, isolation: Isolation) -> Result<Range<i64>, SinkError> {
        self.0.step();
        let broker = self.0.world.broker.borrow();
        let partition = broker.partitions.get(&(broker.progress.clone(), 0));
        let end = partition.map_or(0, |partition| match isolation {
            Isolation::Uncommitted => partition.entries.len(),
            Isolation::Committed => partition.stable(),
        });
        Ok(offset(partition.map_or(0, |partition| partition.start))..offset(end))
    }

    fn remove_below(&self, offset: i64) -> Result<(), SinkError> {
        self.0.step();
        let mut broker = self.0.world.broker.borrow_mut();
        let at = (broker.progress.clone(), 0);
        let partition = broker.partitions.get_mut(&at).expect("something of it was read");
        partition.start = partition.start.max(usize::try_from(offset).expect("an offset"));
        drop(broker);
        self.0.say(|| format!("has removed the log below offset {offset}"));
        Ok(())
    }

    fn read_committed(&self, start: i64, each: Each<'_>) -> Result<(), SinkError> {
        let mut next = usize::try_from(start).expect("an offset");
        loop {
            self.0.step();
            let (mut messages, mut stable) = {
                let broker = self.0.world.broker.borrow();
                broker.committed(&(broker.progress.clone(), 0), next)
            };
            if stable == next {
                return Ok(());
            }
            // A fetch brings what it brings.
            if !messages.is_empty() {
                messages.truncate(1 + self.0.world.below(messages.len()));
                stable = messages.last().map_or(stable, |(offset, _)| offset + 1);
            }
            for (at, sent) in messages {
                each(offset(at), &sent.payload)?;
            }
            next = stable;
        }
    }

    fn holds_records(&self, topic: &str) -> Result<bool, SinkError> {
        self.0.step();
        let broker = self.0.world.broker.borrow();
        Ok((0..2).any(|partition| !broker.committed(&(topic.to_owned(), partition), 0).0.is_empty()))
    }

    fn pause(&self, _: Duration) {
        self.0.step();
    }
}

fn offset(place: usize) -> i64 {
    i64::try_from(place).expect("short partitions")
}

/// A client of one transactional id, as librdkafka is one.
pub struct SimulatedProducer<'y> {
    thread: Thread<'y>,
    id: String,
    epoch: u32,
    transaction: Cell<Option<u64>>,
    /// Handed over, not yet with the broker.
    queue: RefCell<VecDeque<(Where, Sent)>>,
    failed: Cell<Option<Answer>>,
}

impl<'y> SimulatedProducer<'y> {
    fn new(thread: Thread<'y>, id: String, epoch: u32) -> Self {
        let (transaction, queue, failed) = (Cell::new(None), RefCell::default(), Cell::new(None));
        SimulatedProducer { thread, id, epoch, transaction, queue, failed }
    }

    fn failure(answer: Answer) -> Failure {
        Failure { answer, cause: format!("the broker says {answer:?}").into() }
    }

    /// The next message in the queue comes to the broker.
    fn deliver(&self) -> Result<(), Answer> {
        let Some(next) = self.queue.borrow_mut().pop_front() else { return Ok(()) };
        let mut transaction = self.transaction.get();
        let mut broker = self.thread.world.broker.borrow_mut();
        let delivered = broker.produce((&self.id, self.epoch), &mut transaction, next.clone());
        self.transaction.set(transaction);
        match delivered {
            Err(Answer::Again) => self.queue.borrow_mut().push_front(next),
            Err(answer) => self.failed.set(Some(answer)),
            Ok(()) => {}
        }
        delivered
    }

    /// The end is asked for, and takes effect.
    fn end(&self, commits: bool) -> Result<(), Answer> {
        let world = &self.thread.world;
        let ended = world.broker.borrow_mut().end((&self.id, self.epoch), self.transaction.get(), commits);
        let committed = ended?;
        if let Some(transaction) = committed {
            world.committed_by(self.thread.instance, transaction);
        }
        Ok(())
    }

    fn ask(&self, commits: bool) -> Result<(), Answer> {
        let world = self.thread.world.clone();
        self.thread.step();
        let fate = if world.has_faults() { world.below(40) } else { 40 };
        let answer = match fate {
            0 => Err(Answer::Again),
            1 => self.end(commits).and(Err(Answer::Again)),
            2 => Err(Answer::Other),
            3 => self.end(commits).and(Err(Answer::Other)),
            4 => {
                let (id, epoch, transaction) = (self.id.clone(), self.epoch, self.transaction.get());
                world.broker.borrow_mut().late.push(Late { id, epoch, transaction, commits });
                Err(Answer::Other)
            }
            _ => match self.end(commits) {
                // While an id changes hands, the coordinator may say anything.
                Err(Answer::Fenced) if fate < 20 => Err(Answer::Other),
                ended => ended,
            },
        };
        let verb = if commits { "commit" } else { "abort" };
        self.thread.say(|| format!("{verb} {} {:?}: {answer:?}", self.id, self.transaction.get()));
        self.thread.step();
        answer
    }
}

impl Transactional for SimulatedProducer<'_> {
    fn id(&self) -> &str {
        &self.id
    }

    fn begin(&self) -> Result<(), Failure> {
        self.thread.step();
        self.transaction.set(None);
        self.queue.borrow_mut().clear();
        self.failed.set(None);
        Ok(())
    }

    fn send(&self, message: Message<'_>) -> Result<(), Failure> {
        let at = partition_of(message.topic, message.key);
        let sent = Sent { key: message.key.map(<[u8]>::to_vec), payload: message.payload.unwrap_or_default().to_vec() };
        self.queue.borrow_mut().push_back((at, sent));
        if self.thread.world.below(3) == 0 {
            self.thread.step();
            // What fails is told when everything is to be settled.
            let _ = self.deliver();
        }
        Ok(())
    }

    fn settle(&self) -> Result<(), Failure> {
        let world = &self.thread.world;
        while self.failed.get().is_none() && !self.queue.borrow().is_empty() {
            if world.below(3) == 0 {
                self.thread.step();
            }
            if world.has_faults() && world.below(300) == 0 {
                self.failed.set(Some(Answer::Other));
            } else if self.deliver() == Err(Answer::Again) {
                self.thread.step();
            }
        }
        self.failed.get().map_or(Ok(()), |answer| Err(Self::failure(answer)))
    }

    fn commit(&self) -> Result<(), Failure> {
        self.ask(true).map_err(Self::failure)
    }

    fn abort(&self, _: Duration) -> Result<(), Failure> {
        self.ask(false).map_err(Self::failure)
    }

    fn pause(&self, _: Duration) {
        self.thread.step();
    }
}

impl Drop for SimulatedProducer<'_> {
    /// The process ends; some of what it sent is on its way.
    fn drop(&mut self) {
        let on_their_way = self.queue.borrow().len();
        for _ in 0..self.thread.world.below(on_their_way + 1) {
            // Nobody is there to be told.
            let _ = self.deliver();
        }
    }
}
