//! The server's side of a handshake: a client that is refused is told why before the connection goes.

use std::{io, time::Duration};

use rustls::{pki_types::CertificateDer, server::Acceptor};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, server::TlsStream};

use super::{ServerTls, peer_identity, peers};
use crate::{domain::identity::Identity, net::tcp::TcpStream};

/// How long a refused client gets to read why.
const PARTING: Duration = Duration::from_millis(500);
/// How much of what it still sends is read meanwhile.
const PARTING_BYTES_MAX: usize = 16 << 10;

/// A client that said hello.
pub struct Hello(StartHandshake<TcpStream>);

/// A client that was let in, by a certificate that names exactly one party.
pub struct Guest {
    /// What it says from now on.
    pub stream: TlsStream<TcpStream>,
    /// What it showed, its own certificate first; to be looked at again after a reload.
    pub chain: Vec<CertificateDer<'static>>,
    /// Who it is.
    pub identity: Identity,
}

/// A client that was refused, and does not know it yet.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: io::Error,
    socket: TcpStream,
}

impl Hello {
    /// Waits for a client's hello, which costs next to nothing; the work comes after it.
    ///
    /// # Errors
    /// If it hangs up or says something else.
    pub async fn read(socket: TcpStream) -> io::Result<Self> {
        LazyConfigAcceptor::new(Acceptor::default(), socket).await.map(Self)
    }

    /// Does the handshake with what `tls` has now.
    ///
    /// # Errors
    /// [`Refused`]; the client should be told before its connection is dropped.
    pub async fn answer(self, tls: &ServerTls) -> Result<Guest, Refused> {
        let shaken = self.0.into_stream(tls.config()).into_fallible().await;
        let stream = shaken.map_err(|(error, socket)| Refused { error, socket })?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        match peer_identity(&chain) {
            Ok(identity) => Ok(Guest { stream, chain, identity }),
            // The verifier has asked the same, so this does not happen; if it did, it would be refused.
            Err(error) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, peers::names_nobody(error));
                Err(Refused { error, socket: stream.into_inner().0 })
            }
        }
    }
}

impl Refused {
    /// Lets the client read the alert, then hangs up and returns why it was refused.
    ///
    /// By then the client has sent its first call, and to close with bytes unread would take back what is on
    /// its way to it: it would see a broken connection and try again, with a certificate that never will do.
    pub async fn part(mut self) -> io::Error {
        let reading = async {
            self.socket.shutdown().await?;
            let mut scratch = [0; 1024];
            let mut read = 0;
            while read < PARTING_BYTES_MAX {
                match self.socket.read(&mut scratch).await? {
                    0 => break,
                    bytes => read += bytes,
                }
            }
            io::Result::Ok(())
        };
        let _ = timeout(PARTING, reading).await; // it is gone either way
        self.error
    }
}
