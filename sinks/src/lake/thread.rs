//! The lake's thread: waits for messages and for puts to end.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, select, unbounded};

use super::cutting::{Cutting, Next};
use super::handle::{Message, Shared};
use super::lanes::CutFiles;
use super::store::Place;
use crate::SinkError;
use crate::background::{Gathering, give_way};

/// Everything that the thread owns.
pub(super) struct LakeThread {
    cutting: Cutting,
    place: Place,
    gathering: Gathering,
    stored: (Sender<Stored>, Receiver<Stored>),
    shared: Arc<Shared>,
    /// Last, so that puts under way end after everything else is gone.
    runtime: tokio::runtime::Runtime,
}

/// A cut whose put ended.
struct Stored {
    files: CutFiles,
    result: Result<(), SinkError>,
}

impl LakeThread {
    pub(super) fn new(
        cutting: Cutting,
        gathering: Gathering,
        place: Place,
        runtime: tokio::runtime::Runtime,
        shared: Arc<Shared>,
    ) -> Self {
        LakeThread { cutting, gathering, place, stored: unbounded(), shared, runtime }
    }

    /// Runs until finished, failed, or left by every handle.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let _watch = Watch(self.shared.clone());
        give_way();
        loop {
            let began = Instant::now();
            let stored = self.stored.1.clone();
            let next = select! {
                recv(messages) -> message => match message {
                    Ok(message) => self.receive(message, messages),
                    Err(_) => return,
                },
                recv(stored) -> stored => {
                    let Stored { files, result } = stored.expect("the thread holds a sender");
                    result.map(|()| self.cutting.put_ended(&files))
                }
            };
            match next {
                Ok(Next::Go) => self.put_ready(),
                Ok(Next::Stop) => return,
                Err(error) => return self.shared.fail(error),
            }
            self.gathering.wait(began);
        }
    }

    /// Takes a message, and those that have gathered behind it.
    fn receive(&mut self, first: Message, messages: &Receiver<Message>) -> Result<Next, SinkError> {
        for message in std::iter::once(first).chain(messages.try_iter()) {
            if let Next::Stop = self.cutting.receive(message)? {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Go)
    }

    fn put_ready(&mut self) {
        while let Some(files) = self.cutting.next_put() {
            let (place, stored) = (self.place.clone(), self.stored.0.clone());
            self.runtime.spawn(async move {
                let result = put_all(&place, &files).await;
                // Nobody listens once the lake has stopped.
                let _ = stored.send(Stored { files, result });
            });
        }
    }
}

/// Puts the objects of a cut, one after the other.
pub(crate) async fn put_all(place: &Place, files: &CutFiles) -> Result<(), SinkError> {
    for object in &files.objects {
        place.put(object).await?;
    }
    Ok(())
}

/// Makes a panic of the thread an error that callers see.
struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(SinkError::Indeterminate("lake".to_owned(), "its thread panicked".into()));
        }
    }
}
