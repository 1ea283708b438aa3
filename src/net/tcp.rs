//! TCP as the data path uses it: the system's own, or, with the feature `simulation`, that of a simulated
//! network, so that the very same client, relays and issuer run in both.

use std::io;

#[cfg(not(feature = "simulation"))]
pub use tokio::net::{TcpListener, TcpStream};
#[cfg(feature = "simulation")]
pub use turmoil::net::{TcpListener, TcpStream};

/// A stream on its way from the runtime that accepted it to the one that serves it.
pub struct Handed(Inner);

#[cfg(not(feature = "simulation"))]
type Inner = std::net::TcpStream;
#[cfg(feature = "simulation")]
type Inner = TcpStream;

impl Handed {
    /// Takes the stream from the runtime that it was accepted on.
    ///
    /// # Errors
    /// Whatever the system says; the stream is closed then.
    pub fn from(stream: TcpStream) -> io::Result<Self> {
        #[cfg(not(feature = "simulation"))]
        let stream = stream.into_std()?;
        Ok(Self(stream))
    }

    /// Gives the stream to the runtime that this is called on.
    ///
    /// # Errors
    /// Whatever the system says; the stream is closed then.
    pub fn into_stream(self) -> io::Result<TcpStream> {
        #[cfg(not(feature = "simulation"))]
        return TcpStream::from_std(self.0);
        #[cfg(feature = "simulation")]
        return Ok(self.0);
    }
}
