//! Whoever reads nothing of its stream is waited for only so long, and the last word always has its place.

use tokio::{
    sync::mpsc::{self, OwnedPermit},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::wire::fault::{Fault, Reason};

use super::routes;

type Message<T> = Result<T, Status>;

/// The way to the reader of a stream of answers.
#[derive(Debug)]
pub(crate) struct Outlet<T> {
    messages: mpsc::Sender<Message<T>>,
    last: OwnedPermit<Message<T>>,
}

impl<T> Outlet<T> {
    /// Returns the two ends; `waiting_max` messages may wait for their reader, besides the last word.
    pub(crate) fn new(waiting_max: usize) -> (Self, ReceiverStream<Message<T>>) {
        let (messages, stream) = mpsc::channel(waiting_max + 1);
        let last = messages.clone().try_reserve_owned().expect("nothing was sent yet");
        (Self { messages, last }, ReceiverStream::new(stream))
    }

    /// Hands on a message, and waits until then for a reader that is slow; an error means that nobody reads.
    pub(crate) async fn send(&self, message: T, until: Instant) -> Result<(), Fault> {
        let nobody =
            || Fault::new(Reason::DeadlineExceeded, "nobody reads the answers: read them as they come");
        let sent = tokio::time::timeout_at(until, self.messages.send(Ok(message))).await;
        sent.map_err(|_| nobody())?.map_err(|_| nobody())
    }

    /// Ends the stream with the reason why, without waiting for anybody.
    pub(crate) fn end(self, fault: Fault) {
        if !self.messages.is_closed() {
            self.last.send(Err(routes::ended_by(fault)));
        }
    }

    /// Comes back when the reader is gone.
    pub(crate) async fn closed(&self) {
        self.messages.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_waited_for_until_then_and_still_gets_the_last_word() {
        let (outlet, mut stream) = Outlet::new(2);
        let until = Instant::now() + Duration::from_secs(60);
        for message in [1, 2] {
            outlet.send(message, until).await.expect("there is room");
        }
        let late = outlet.send(3, until).await.expect_err("nobody reads");
        assert_eq!((late.reason, Instant::now() >= until), (Reason::DeadlineExceeded, true));
        outlet.end(late);
        assert_eq!(
            (stream.next().await.expect("one").ok(), stream.next().await.expect("two").ok()),
            (Some(1), Some(2))
        );
        let last = stream.next().await.expect("the last word").expect_err("a fault");
        assert_eq!(last.code(), tonic::Code::DeadlineExceeded);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_gone_is_not_waited_for() {
        let (outlet, stream) = Outlet::new(1);
        drop(stream);
        outlet.closed().await;
        let until = Instant::now() + Duration::from_secs(60);
        outlet.send(1, until).await.expect_err("nobody is there");
        assert!(Instant::now() < until);
        outlet.end(Fault::new(Reason::Internal, "nobody hears it"));
    }
}
