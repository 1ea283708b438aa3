//! One call: it is forwarded once, re-sent only while nothing of it can have been processed, and always
//! answered or broken off in both directions.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::{Reason as Code, RecvStream, client::ResponseFuture, server::SendResponse};
use http::{Request, Response, request::Parts};
use tokio::time::{Instant, Sleep};

use crate::wire::fault::{Fault, Reason};

use super::{
    answer,
    deadline::{self, GRPC_TIMEOUT},
    peer::{Pass, Peer},
    pump::{Cut, Pump, grpc_status},
    reader::Reader,
    stats::Event,
    upstream::{Avoid, Grave, Slot},
};

/// How often a call is sent again that provably was not processed.
const RESENDS_MAX: u8 = 2;
/// gRPC's number for a call that its caller gave up.
const CANCELLED: u8 = 1;

/// A call in flight. It counts as ended when it is dropped.
pub(super) struct Call {
    peer: Arc<Peer>,
    respond: SendResponse<Bytes>,
    stage: Stage,
    started: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
    reader: Reader,
    seat: Option<usize>,
    resent: u8,
    /// How it ended, as the client saw it.
    status: Option<u8>,
    bytes_up: u64,
    bytes_down: u64,
    pass: Option<Pass>,
}

type Waited = Pin<Box<dyn Future<Output = Result<Slot, Fault>> + Send>>;

enum Stage {
    Waiting {
        slot: Waited,
        head: Box<Parts>,
        body: Option<RecvStream>,
    },
    Asked(Asked),
    Answering {
        /// Held, not used: it is the place on the connection.
        _slot: Slot,
        up: Option<Pump>,
        down: Pump,
    },
    Over,
}

/// Sent to an issuer that has not answered yet.
struct Asked {
    slot: Slot,
    up: Option<Pump>,
    answer: ResponseFuture,
    /// What is needed to send it again, as long as that would be right.
    kept: Option<Box<Parts>>,
}

/// What a look at a call brought.
enum Seen {
    Headers(Response<RecvStream>),
    Answered(Option<u8>),
    Broken(h2::Error),
    /// The client is gone; whether it broke this call off, or lost its connection.
    ClientGone {
        reset: bool,
    },
}

impl Call {
    /// Begins a call that was let in.
    pub(super) fn new(
        peer: &Arc<Peer>,
        pass: Pass,
        respond: SendResponse<Bytes>,
        started: Instant,
        deadline: Option<Pin<Box<Sleep>>>,
    ) -> Self {
        Self {
            peer: Arc::clone(peer),
            respond,
            stage: Stage::Over,
            started,
            deadline,
            reader: Reader::default(),
            seat: None,
            resent: 0,
            status: Some(CANCELLED),
            bytes_up: 0,
            bytes_down: 0,
            pass: Some(pass),
        }
    }

    /// Sends the call on at once if there is a place, and waits for one if not; `None` if it is over
    /// already.
    pub(super) fn begin(mut self, head: Parts, body: RecvStream) -> Option<Self> {
        if let Poll::Ready(gone) = self.respond.poll_reset(&mut Context::from_waker(Waker::noop())) {
            self.client_gone(gone.is_ok()); // before it was looked at: an issuer never hears of it
            return None;
        }
        let body = (!body.is_end_stream()).then_some(body);
        match self.peer.shard.upstreams().try_slot() {
            Some(slot) => self.ask(slot, head, body),
            None => self.wait(Box::new(head), body, None),
        }
        (!matches!(self.stage, Stage::Over)).then_some(self)
    }

    fn wait(&mut self, head: Box<Parts>, body: Option<RecvStream>, avoid: Avoid) {
        let shard = Arc::clone(&self.peer.shard);
        let slot = Box::pin(async move { shard.upstreams().slot(avoid).await });
        self.stage = Stage::Waiting { slot, head, body };
    }

    fn ask(&mut self, slot: Slot, head: Parts, mut body: Option<RecvStream>) {
        // A body that is here already goes out with the headers, and from then on nothing may be re-sent.
        let untouched = body.as_mut().is_none_or(|body| body.flow_control().used_capacity() == 0);
        let kept = (untouched && self.resent < RESENDS_MAX).then(|| Box::new(head.clone()));
        match slot.link.send(Request::from_parts(head, ()), body.is_none()) {
            Ok((answer, sink)) => {
                let mut asked = Asked { slot, up: body.map(|body| Pump::new(body, sink)), answer, kept };
                // Whatever this finds that is not the end, the call's task finds again.
                if let Some(up) = &mut asked.up
                    && let Poll::Ready(Ok(_)) = up.poll(&mut Context::from_waker(Waker::noop()))
                {
                    self.bytes_up += up.bytes();
                    asked.up = None;
                }
                self.stage = Stage::Asked(asked);
            }
            Err(error) => self.fail(answer::unsent(&error)),
        }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let seen = match &mut self.stage {
                Stage::Over => return Poll::Ready(()),
                Stage::Waiting { slot, .. } => {
                    if let Poll::Ready(gone) = self.respond.poll_reset(cx) {
                        Poll::Ready(Seen::ClientGone { reset: gone.is_ok() })
                    } else if let Poll::Ready(slot) = slot.as_mut().poll(cx) {
                        self.waited(slot);
                        continue;
                    } else {
                        Poll::Pending
                    }
                }
                Stage::Asked(asked) => asked.look(&mut self.respond, &mut self.bytes_up, cx),
                Stage::Answering { up, down, .. } => look(up, down, &mut self.bytes_up, cx),
            };
            match seen {
                Poll::Pending => return self.mind_reader(cx),
                Poll::Ready(Seen::Headers(response)) => self.answer(response),
                Poll::Ready(Seen::Answered(status)) => self.over(status),
                Poll::Ready(Seen::Broken(error)) => self.broken(&error),
                Poll::Ready(Seen::ClientGone { reset }) => self.client_gone(reset),
            }
        }
    }

    /// The wait for a place is over.
    fn waited(&mut self, slot: Result<Slot, Fault>) {
        let Stage::Waiting { mut head, body, .. } = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        match slot {
            Ok(slot) => {
                if let Some(timer) = &self.deadline {
                    let left = timer.deadline().saturating_duration_since(Instant::now());
                    head.headers.insert(GRPC_TIMEOUT, deadline::format(left));
                }
                self.ask(slot, *head, body);
            }
            Err(fault) => self.fail(fault),
        }
    }

    /// The issuer answers: only now the client gets headers, which commit it to this answer.
    fn answer(&mut self, response: Response<RecvStream>) {
        let Stage::Asked(Asked { slot, up, .. }) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        self.peer.shard.stats().answered(self.started.elapsed());
        let (head, body) = response.into_parts();
        let end = body.is_end_stream();
        let status = grpc_status(&head.headers);
        match self.respond.send_response(Response::from_parts(head, ()), end) {
            Ok(sink) if !end => {
                self.stage = Stage::Answering { _slot: slot, up, down: Pump::new(body, sink) };
            }
            sent => {
                self.bytes_up += up.map_or(0, |up| up.bytes()); // it may have overtaken the request
                if sent.is_ok() { self.over(status) } else { self.client_gone(false) }
            }
        }
    }

    fn over(&mut self, status: Option<u8>) {
        self.status = status;
        if let Stage::Answering { up, down, .. } = std::mem::replace(&mut self.stage, Stage::Over) {
            self.bytes_down += down.bytes();
            self.bytes_up += up.map_or(0, |up| up.bytes());
        }
    }

    /// The issuer, or the connection to it, broke off.
    fn broken(&mut self, error: &h2::Error) {
        if let Stage::Asked(asked) = &mut self.stage
            && is_unprocessed(error)
            && self.bytes_up == 0 // else a part of the body is gone and cannot be sent again
            && asked.up.as_ref().is_none_or(|up| up.bytes() == 0)
            && let Some(head) = asked.kept.take()
        {
            let avoid = Some(asked.slot.link.id());
            let body = asked.up.take().map(Pump::into_source);
            self.resent += 1;
            self.peer.shard.stats().event(Event::Resent);
            return self.wait(head, body, avoid);
        }
        tracing::debug!(caller = %self.peer.identity, %error, "an issuer broke a call off: {error}");
        self.fail(if is_unprocessed(error) { answer::unsent(error) } else { answer::unknown() });
    }

    /// The client waits no longer: neither must the issuer.
    fn client_gone(&mut self, reset: bool) {
        if reset {
            self.peer.reset();
        }
        self.bury();
    }

    /// Ends the call with an answer of the relay's own.
    fn fail(&mut self, fault: Fault) {
        self.peer.shard.stats().refused(&fault);
        self.status = u8::try_from(fault.reason.code() as i32).ok();
        if let Stage::Answering { down, .. } = &mut self.stage {
            answer::end(down.sink(), fault);
        } else {
            answer::refuse(&mut self.respond, fault);
        }
        self.bury();
    }

    /// Lets go of the issuer's side without harm to the connection that it shares.
    fn bury(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Asked(Asked { slot, up, answer, .. }) => {
                self.bytes_up += up.as_ref().map_or(0, Pump::bytes);
                let (link, permit) = slot.into_permit();
                // It keeps its place in the caller's account until then: breaking off is not free.
                link.bury(Grave::new((answer, up, permit, self.pass.take())));
            }
            Stage::Answering { up, down, .. } => {
                self.bytes_up += up.map_or(0, |up| up.bytes());
                self.bytes_down += down.bytes();
            }
            Stage::Waiting { .. } | Stage::Over => {}
        }
    }

    /// Ends an answer that its caller does not read, because it takes room on a connection that others
    /// need.
    fn mind_reader(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Stage::Answering { down, .. } = &mut self.stage else { return Poll::Pending };
        let Peer { shard, tenant, .. } = &*self.peer;
        ready!(self.reader.poll(down.is_blocked(), tenant, shard.options(), cx));
        down.sink().send_reset(Code::ENHANCE_YOUR_CALM);
        self.status = Some(8); // what gRPC makes of that reset: RESOURCE_EXHAUSTED
        shard.stats().event(Event::Unread);
        tenant.reset(shard.now_ns());
        tracing::info!(caller = %self.peer.identity, "{} does not read its answers", self.peer.identity);
        self.bury();
        Poll::Ready(())
    }
}

impl Asked {
    fn look(
        &mut self,
        respond: &mut SendResponse<Bytes>,
        bytes_up: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<Seen> {
        if let Some(gone) = push(&mut self.up, bytes_up, cx) {
            return Poll::Ready(gone);
        }
        match Pin::new(&mut self.answer).poll(cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(Seen::Headers(response)),
            Poll::Ready(Err(error)) => Poll::Ready(Seen::Broken(error)),
            Poll::Pending => respond.poll_reset(cx).map(|gone| Seen::ClientGone { reset: gone.is_ok() }),
        }
    }
}

/// Moves the request on; `Some` if the client broke off.
fn push(up: &mut Option<Pump>, bytes_up: &mut u64, cx: &mut Context<'_>) -> Option<Seen> {
    let pump = up.as_mut()?;
    match pump.poll(cx) {
        Poll::Pending => None,
        Poll::Ready(Err(Cut::Source(error))) => {
            Some(Seen::ClientGone { reset: error.is_reset() && error.is_remote() })
        }
        // All is sent, or the issuer wants no more of it, which is no failure: its answer counts.
        Poll::Ready(Ok(_) | Err(Cut::Sink)) => {
            *bytes_up += pump.bytes();
            *up = None;
            None
        }
    }
}

fn look(up: &mut Option<Pump>, down: &mut Pump, bytes_up: &mut u64, cx: &mut Context<'_>) -> Poll<Seen> {
    if let Some(gone) = push(up, bytes_up, cx) {
        return Poll::Ready(gone);
    }
    match down.poll(cx) {
        Poll::Ready(Ok(passed)) => Poll::Ready(Seen::Answered(passed.status)),
        Poll::Ready(Err(Cut::Source(error))) => Poll::Ready(Seen::Broken(error)),
        Poll::Ready(Err(Cut::Sink)) => {
            let reset = matches!(down.sink().poll_reset(cx), Poll::Ready(Ok(_)));
            Poll::Ready(Seen::ClientGone { reset })
        }
        Poll::Pending => down.sink().poll_reset(cx).map(|gone| Seen::ClientGone { reset: gone.is_ok() }),
    }
}

/// Whether the issuer says that it did nothing: it refused the stream, or its GOAWAY names an earlier one.
///
/// Source: RFC 9113, 8.7. `h2` gives a remote GOAWAY to streams above the last one only.
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Code::REFUSED_STREAM)))
}

impl Future for Call {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        if me.seat.is_none() {
            me.seat = Some(me.peer.shard.bell().sit(cx.waker()));
        }
        let (waits, rung) = (matches!(me.stage, Stage::Waiting { .. }), me.peer.shard.bell().is_rung());
        // Places come free at the end of a drain, and what waits for one must not be sent on any more.
        if !(waits && rung) && me.step(cx).is_ready() {
            return Poll::Ready(());
        }
        if me.deadline.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
            me.fail(Fault::new(
                Reason::DeadlineExceeded,
                "the call's deadline passed: ask with a longer one",
            ));
        } else if rung {
            me.fail(answer::stopping(!waits));
        } else {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let shard = &self.peer.shard;
        if let Some(seat) = self.seat {
            shard.bell().leave(seat);
        }
        self.reader.leave(&self.peer.tenant);
        shard.stats().end(self.status, self.bytes_up, self.bytes_down);
    }
}
