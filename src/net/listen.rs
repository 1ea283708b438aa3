//! Connections are taken one by one, and a system that has none to give is asked again after a pause.

use std::{io, time::Duration};

use metrics::counter;
use tokio::time::sleep;

use super::tcp::{TcpListener, TcpStream};
use crate::telemetry::names;

/// First and longest pause after an accept that failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// A listener that goes on whatever happens.
pub struct Listening {
    listener: TcpListener,
    pause: Duration,
}

impl Listening {
    /// Takes a listener over.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, pause: PAUSE.0 }
    }

    /// Waits for the next connection. Dropping the future loses none.
    pub async fn next(&mut self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((socket, _)) => {
                    self.pause = PAUSE.0;
                    return socket;
                }
                Err(error) if concerns_one_peer(&error) => {}
                Err(error) => {
                    counter!(names::ACCEPT_ERRORS).increment(1);
                    let pause = self.pause;
                    tracing::error!(%error, "no connection can be taken; trying again in {pause:?}");
                    self.pause = (pause * 2).min(PAUSE.1);
                    sleep(pause).await;
                }
            }
        }
    }
}

/// The connection is lost, and the next may be fine.
fn concerns_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
