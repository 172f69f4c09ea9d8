//! What goes over a connection: postcard behind its length, the first time behind a word that tells strangers apart.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How a connection begins.
pub const MAGIC: &[u8; 8] = b"QLCLUST1";

/// Longest greeting and longest answer to one: whoever asks may be anyone.
pub const GREETING: u64 = 1 << 20;

/// Writes one.
///
/// # Errors
/// Those of the connection.
pub fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_allocvec(message).map_err(io::Error::other)?;
    let len = u64::try_from(bytes.len()).expect("a length fits in 64 bits");
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&bytes)
}

/// Reads one of at most `longest` bytes.
///
/// # Errors
/// Those of the connection; [`io::ErrorKind::InvalidData`] for what is none.
pub fn read<T: DeserializeOwned>(from: &mut impl Read, longest: u64) -> io::Result<T> {
    let mut len = [0; 8];
    from.read_exact(&mut len)?;
    let len = u64::from_le_bytes(len);
    if len > longest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {len} bytes")));
    }
    let mut bytes = Vec::new();
    from.take(len).read_to_end(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_nothing_else_does() {
        let mut bytes = Vec::new();
        write(&mut bytes, &("text", 7_u64)).unwrap();
        assert_eq!(read::<(String, u64)>(&mut &bytes[..], GREETING).unwrap(), ("text".to_owned(), 7));
        for len in 0..bytes.len() {
            assert!(read::<(String, u64)>(&mut &bytes[..len], GREETING).is_err(), "{len} bytes");
        }
        assert!(read::<(String, u64)>(&mut &b"GET / HTTP/1.1\r\n"[..], GREETING).is_err());
    }
}
