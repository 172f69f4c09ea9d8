//! librdkafka's batch interface: all the unsafe code of the pipeline, behind a safe one.
//!
//! A [`MessageQueue`] collects the messages of chosen partitions, and nothing else: logs, errors
//! and commit results of the client stay on the consumer's own queue. [`Messages`] is a batch taken
//! from it, a fifth of the cost of taking them one by one.
#![expect(unsafe_code, reason = "rdkafka wraps neither consume_batch_queue nor forwarding to a queue of one's own")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use sinks::kafka::SharedContext;

/// The client that everything here belongs to.
pub(super) type Client = BaseConsumer<SharedContext>;

/// Called from a thread of librdkafka: wakes the worker up.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A queue of our own, into which partitions are forwarded.
pub(super) struct MessageQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Boxed: librdkafka holds the address of the `Arc` while the callback is enabled.
    wake: Option<Box<Wake>>,
    /// Declared last, so that the client outlives the queue.
    client: Arc<Client>,
}

// SAFETY: a queue handle is not tied to the thread that made it, and librdkafka locks the queue behind
// it in every call; `wake` is Send and Sync, and so is the client.
unsafe impl Send for MessageQueue {}

impl MessageQueue {
    pub fn new(client: Arc<Client>) -> Self {
        // SAFETY: the client's handle is valid while `client` lives, which is longer than the queue.
        let queue = unsafe { sys::rd_kafka_queue_new(client.client().native_ptr()) };
        let queue = NonNull::new(queue).expect("rd_kafka_queue_new returns a queue or ends the process");
        MessageQueue { queue, wake: None, client }
    }

    /// Calls `wake` whenever the queue was empty and is no more. It runs under the queue's lock: it
    /// must be quick and must not touch the queue.
    pub fn on_nonempty(&mut self, wake: Wake) {
        unsafe extern "C" fn call(_: *mut sys::rd_kafka_t, wake: *mut c_void) {
            // SAFETY: `wake` is the address given below, of a `Wake` that lives while the callback is
            // enabled. Unwinding out of here would abort the process, which a panic does anyhow.
            let wake = unsafe { &*wake.cast::<Wake>() };
            wake();
        }
        self.disable_wake();
        let wake = Box::new(wake);
        let address = ptr::from_ref::<Wake>(&wake).cast_mut().cast::<c_void>();
        // SAFETY: the queue is valid; `address` stays valid because the box is kept in `self` until
        // `disable_wake`, after which librdkafka calls it no more.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), Some(call), address) };
        self.wake = Some(wake);
    }

    fn disable_wake(&mut self) {
        // SAFETY: the queue is valid. The call takes the lock under which callbacks run: when it
        // returns, none is running and none will, so the box may go.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut()) };
        self.wake = None;
    }

    /// Sends the messages of a partition here instead of to the consumer's queue. To be called before
    /// the partition is assigned: none can be on its way elsewhere then. False: no such topic name.
    ///
    /// Lasts until the partition's fetcher is stopped (`rd_kafka_assign` without it, unassign):
    /// so partitions are added incrementally and repositioned by seeking, never assigned anew.
    pub fn forward(&mut self, topic: &str, partition: i32) -> bool {
        let Ok(topic) = CString::new(topic) else { return false };
        // SAFETY: client and name are valid for the call. The handle that it returns is ours to destroy,
        // and may be destroyed at once: the forwarding belongs to the queue behind it, and holds a
        // reference to ours.
        unsafe {
            let from = sys::rd_kafka_queue_get_partition(self.client.client().native_ptr(), topic.as_ptr(), partition);
            if from.is_null() {
                return false;
            }
            sys::rd_kafka_queue_forward(from, self.queue.as_ptr());
            sys::rd_kafka_queue_destroy(from);
        }
        true
    }

    /// Takes up to `max` messages, without waiting.
    pub fn poll(&mut self, max: usize) -> Messages {
        let mut list: Vec<*mut sys::rd_kafka_message_t> = Vec::with_capacity(max);
        // SAFETY: `list` has room for `max` pointers, of which librdkafka fills the first `taken` with
        // messages that are ours to destroy; only these become its length.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, list.as_mut_ptr(), max);
            // -1 is an error of the call itself, which this version has none of.
            list.set_len(usize::try_from(taken).unwrap_or(0));
        }
        Messages { list, _client: Arc::clone(&self.client) }
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        self.disable_wake();
        // SAFETY: the handle came from `rd_kafka_queue_new` and is used no more. Partitions that are
        // still forwarded hold their own reference to what is behind it.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// A topic's handle, kept so that its address means this topic for as long as the client is used.
pub(super) struct TopicHandle {
    topic: NonNull<sys::rd_kafka_topic_t>,
    _client: Arc<Client>,
}

// SAFETY: librdkafka's topic handles are reference-counted under its own locks.
unsafe impl Send for TopicHandle {}

impl TopicHandle {
    /// `None`: no such topic name.
    pub fn new(client: &Arc<Client>, topic: &str) -> Option<Self> {
        let name = CString::new(topic).ok()?;
        // SAFETY: client and name are valid for the call; a null configuration means the default.
        let topic = unsafe { sys::rd_kafka_topic_new(client.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        Some(TopicHandle { topic: NonNull::new(topic)?, _client: Arc::clone(client) })
    }

    /// Equals [`Message::topic_address`] of this topic's messages, and of no other's.
    pub fn address(&self) -> usize {
        self.topic.addr().get()
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: the reference that `rd_kafka_topic_new` counted for us is given back once.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

/// Messages that we own, freed when dropped. The client lives at least as long.
pub(super) struct Messages {
    list: Vec<*mut sys::rd_kafka_message_t>,
    _client: Arc<Client>,
}

// SAFETY: a message may be read and destroyed on any one thread. Not Sync: reading headers fills a
// cache inside the message.
unsafe impl Send for Messages {}

impl Messages {
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        self.list.iter().map(|&message| Message { message, _batch: PhantomData })
    }

    /// Destroys those that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(Message<'_>) -> bool) {
        self.list.retain(|&message| {
            let kept = keep(Message { message, _batch: PhantomData });
            if !kept {
                // SAFETY: ours, and leaves the list in this very step, so it is destroyed once.
                unsafe { sys::rd_kafka_message_destroy(message) };
            }
            kept
        });
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for &message in &self.list {
            // SAFETY: each is ours, and listed once.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

/// A message, or a notice of its partition, borrowed from its batch.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    message: *mut sys::rd_kafka_message_t,
    _batch: PhantomData<&'a Messages>,
}

impl<'a> Message<'a> {
    fn raw(&self) -> &'a sys::rd_kafka_message_t {
        // SAFETY: the message lives as long as its batch, and its public part is not written any more.
        // (What reading headers fills lies beside this part, not in it.)
        unsafe { &*self.message }
    }

    /// What this notice says; `None` on a record.
    pub fn notice(&self) -> Option<RDKafkaErrorCode> {
        let code = self.raw().err;
        (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
    }

    pub fn topic_address(&self) -> usize {
        self.raw().rkt.addr()
    }

    pub fn partition(&self) -> i32 {
        self.raw().partition
    }

    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// The value of a record (`None`: null); the text of a notice.
    pub fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: payload and len describe bytes that live as long as the message.
        unsafe { bytes(self.raw().payload, self.raw().len) }
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: key and key_len describe bytes that live as long as the message. (A notice has no key:
        // its fields are zero.)
        unsafe { bytes(self.raw().key, self.raw().key_len) }
    }

    /// Milliseconds since the epoch of Unix, where there is one.
    pub fn timestamp_millis(&self) -> Option<i64> {
        // SAFETY: the message is valid, and the type of the timestamp is not asked for.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.message, ptr::null_mut()) };
        (millis >= 0).then_some(millis)
    }

    /// Names and values, in order; a name may come more than once.
    pub fn headers(&self) -> impl Iterator<Item = (&'a CStr, Option<&'a [u8]>)> + use<'a> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is valid, and used by this thread alone (`Messages` is not Sync), so that
        // the parsed headers may be cached in it. On an error `headers` stays null.
        unsafe { sys::rd_kafka_message_headers(self.message, &raw mut headers) };
        let mut index = 0;
        std::iter::from_fn(move || {
            if headers.is_null() {
                return None;
            }
            let (mut name, mut value, mut size) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0);
            // SAFETY: `headers` belong to the message, which lives for 'a; the three places are ours.
            let found =
                unsafe { sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size) };
            index += 1;
            if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            // SAFETY: a header that was found has a name that ends with NUL, and value and size describe
            // its bytes; both live as long as the message.
            Some(unsafe { (CStr::from_ptr(name), bytes(value, size)) })
        })
    }
}

/// The bytes at `start`; `None` for null.
///
/// # Safety
/// Unless `start` is null, `len` bytes can be read there for all of `'a`.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    let start = NonNull::new(start.cast_mut().cast::<u8>())?;
    // SAFETY: promised by the caller; not null.
    Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), len) })
}
