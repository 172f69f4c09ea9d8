//! What proxies share: a port, a thread for it, and one for each connection.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Accepts connections until it is dropped; that closes them all.
pub struct Listener {
    address: SocketAddr,
    open: Arc<Open>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Open {
    is_over: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Listener {
    /// Hands each connection to `serve`, on a thread of its own.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let (open, serve) = (Arc::new(Open::default()), Arc::new(serve));
        let accepting = open.clone();
        let accept = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.is_over.load(Ordering::Acquire) {
                    return;
                }
                let serve = serve.clone();
                accepting.streams.lock().unwrap().extend(stream.try_clone());
                std::thread::spawn(move || serve(stream));
            }
        };
        Listener { address, open, thread: Some(std::thread::spawn(accept)) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.open.is_over.store(true, Ordering::Release);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
        for stream in self.open.streams.lock().unwrap().drain(..) {
            // Most are closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
