//! One connection beside the dataflow, while it lasts: a thread that writes and one that reads.
//!
//! The end of a process closes its connections, so the others know at once; a machine that is gone says nothing any
//! more, which is taken for the same after [`SILENCE`].

use std::io::{BufReader, BufWriter, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::Message;
use super::frame;

/// How often the writer looks for news that nobody sends.
const TICK: Duration = Duration::from_millis(10);
/// How often something is said at least.
const BEAT: Duration = Duration::from_millis(500);
/// After which a process that says nothing is lost.
pub const SILENCE: Duration = Duration::from_secs(10);
/// How long the last word may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// Says things on a connection. Clones are the same.
#[derive(Clone)]
pub struct Link(Sender<Outgoing>);

enum Outgoing {
    Message(Message),
    /// The last one; told when it is out.
    Last(Message, Sender<()>),
}

/// What a link is made of.
pub struct Ends<News, Hear, Lose> {
    /// The other process, for names of threads.
    pub process: usize,
    /// After how long without a word the other one is lost: [`SILENCE`].
    pub silence: Duration,
    /// Asked every few milliseconds what else there is to say.
    pub news: News,
    /// Takes what comes. Called on one thread, in order.
    pub hear: Hear,
    /// Told once why nothing comes any more, unless the last word has been heard.
    pub lose: Lose,
}

impl Link {
    /// Starts to write and to read.
    ///
    /// # Errors
    /// A thread that cannot be started, or a connection that is gone.
    pub fn start<News, Hear, Lose>(stream: TcpStream, ends: Ends<News, Hear, Lose>) -> std::io::Result<Self>
    where
        News: FnMut() -> Vec<Message> + Send + 'static,
        Hear: FnMut(Message) + Send + 'static,
        Lose: FnOnce(String) + Send + 'static,
    {
        let Ends { process, silence, news, hear, lose } = ends;
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        let reading = stream.try_clone()?;
        let (sender, outgoing) = unbounded();
        let thread = |of: &str| std::thread::Builder::new().name(format!("{of}-{process}"));
        thread("tell").spawn(move || write(stream, &outgoing, news))?;
        thread("hear").spawn(move || read(&reading, silence, hear, lose))?;
        Ok(Link(sender))
    }

    /// Says something. Never waits.
    pub fn tell(&self, message: Message) {
        // A connection that is gone is told by the thread that reads.
        let _ = self.0.send(Outgoing::Message(message));
    }

    /// Says the last word; the answer tells when it is out.
    pub fn end(&self, message: Message) -> Farewell {
        let (sender, told) = bounded(1);
        let _ = self.0.send(Outgoing::Last(message, sender));
        Farewell(told)
    }
}

/// The last word is on its way.
pub struct Farewell(Receiver<()>);

impl Farewell {
    /// Waits until it is out, or the connection is gone, not for long.
    pub fn wait(self) {
        // Whatever became of it, there is nothing more to do.
        let _ = self.0.recv_timeout(FAREWELL);
    }
}

fn write(stream: TcpStream, outgoing: &Receiver<Outgoing>, mut news: impl FnMut() -> Vec<Message>) {
    let mut said = Instant::now();
    let mut writer = BufWriter::new(&stream);
    let mut say = |first: Option<Outgoing>| -> std::io::Result<bool> {
        let is_idle = first.is_none() && said.elapsed() >= BEAT;
        let mut told = None;
        let mut write = |message: &Message| {
            said = Instant::now();
            frame::write(&mut writer, message)
        };
        for message in first.into_iter().chain(outgoing.try_iter()) {
            match message {
                Outgoing::Message(message) => write(&message)?,
                Outgoing::Last(message, sender) => {
                    write(&message)?;
                    told = Some(sender);
                    break;
                }
            }
        }
        news().iter().filter(|_| told.is_none()).try_for_each(&mut write)?;
        if is_idle {
            write(&Message::Alive)?;
        }
        writer.flush()?;
        Ok(told.is_none_or(|told| {
            // Nobody may wait for it.
            let _ = told.send(());
            false
        }))
    };
    loop {
        let first = match outgoing.recv_timeout(TICK) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match say(first) {
            Ok(true) => {}
            // What was said arrives before the end of the connection.
            Ok(false) => return drop(stream.shutdown(Shutdown::Write)),
            // Ends the reader too, which tells.
            Err(_) => return drop(stream.shutdown(Shutdown::Both)),
        }
    }
}

fn read(stream: &TcpStream, silence: Duration, mut hear: impl FnMut(Message), lose: impl FnOnce(String)) {
    let mut reader = BufReader::new(stream);
    loop {
        match frame::read(&mut reader, u64::MAX) {
            Ok(Message::Alive) => {}
            Ok(message) => {
                let is_last = matches!(message, Message::Failed(_) | Message::Done);
                hear(message);
                if is_last {
                    return;
                }
            }
            Err(error) => {
                use std::io::ErrorKind::{TimedOut, UnexpectedEof, WouldBlock};
                return lose(match error.kind() {
                    UnexpectedEof => "it has ended, or closed its connection".to_owned(),
                    WouldBlock | TimedOut => format!("nothing has been heard of it for {silence:?}"),
                    _ => error.to_string(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn streams() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialed = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (dialed, listener.accept().unwrap().0)
    }

    /// A link, what it hears, and why it was lost.
    fn link(stream: TcpStream, mut news: Vec<Message>) -> (Link, Receiver<Message>, Receiver<String>) {
        let (heard, hearing) = unbounded();
        let (lost, losing) = unbounded();
        let ends = Ends {
            process: 1,
            silence: 3 * BEAT,
            news: move || std::mem::take(&mut news),
            hear: move |message| drop(heard.send(message)),
            lose: move |why| drop(lost.send(why)),
        };
        (Link::start(stream, ends).unwrap(), hearing, losing)
    }

    #[test]
    fn everything_arrives_and_the_last_word_last() {
        let (here, there) = streams();
        let (here, ..) = link(here, vec![Message::Stop]);
        let (_there, heard, lost) = link(there, Vec::new());
        let pieces = vec![vec![7; 3 << 20], vec![8]];
        let section = Message::Section { part: 5, epoch: 9, needs: 3, pieces, cold: None };
        here.tell(section.clone());
        here.tell(Message::Ring);
        here.end(Message::Done).wait();
        let mut heard: Vec<Message> = heard.iter().collect();
        heard.retain(|message| *message != Message::Stop);
        assert_eq!(heard, [section, Message::Ring, Message::Done]);
        assert!(lost.recv().is_err(), "an end in order is no loss");
    }

    #[test]
    fn news_is_told_unasked() {
        let (here, there) = streams();
        let _here = link(here, vec![Message::Stop, Message::Passed(3)]);
        let (_there, heard, _lost) = link(there, Vec::new());
        assert_eq!([heard.recv().unwrap(), heard.recv().unwrap()], [Message::Stop, Message::Passed(3)]);
    }

    #[test]
    fn who_has_nothing_to_say_is_heard_and_who_is_silent_is_lost() {
        let (here, there) = streams();
        let (_here, _heard, lost) = link(here, Vec::new());
        let (silent, gone) = streams();
        let (_silent, _nothing, lost_too) = link(silent, Vec::new());
        let (_there, heard, _) = link(there, Vec::new());
        let why = lost_too.recv().unwrap();
        assert!(why.contains("nothing has been heard of it for 1.5s"), "{why}");
        assert!(lost.recv_timeout(4 * BEAT).is_err_and(|error| error.is_timeout()), "it is there, with nothing to say");
        assert!(heard.is_empty());
        drop(gone);
    }

    #[test]
    fn the_end_of_the_other_side_is_told_at_once() {
        let (here, there) = streams();
        let (_here, _heard, lost) = link(here, Vec::new());
        let began = Instant::now();
        drop(there);
        let why = lost.recv().unwrap();
        assert!(why.contains("ended") || why.contains("reset"), "{why}");
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
