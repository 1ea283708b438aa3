//! One call: it is forwarded once, re-sent only while nothing of it can have been processed, and always
//! answered or broken off in both directions.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason as Code, RecvStream, server::SendResponse};
use http::{Request, Response, request::Parts, uri::PathAndQuery};
use tokio::time::{Instant, Sleep};

use crate::{
    pool::drill::Played,
    wire::{
        self,
        fault::{Fault, Reason},
    },
};

use super::{
    account::Account,
    answer,
    deadline::{self, GRPC_TIMEOUT},
    look::{Asked, Look, look},
    open::{self, At, Open},
    peer::{Pass, Peer},
    pump::{Pump, grpc_status},
    reader::Reader,
    stats::Event,
    upstream::{self, Avoid, Grave, Slot},
};

/// How often a call is sent again that provably was not processed.
const RESENDS_MAX: u8 = 2;
/// How long a call hangs in a drill: longer than anybody waits.
const HANG: Duration = Duration::from_secs(3_600);
/// gRPC's number for a call that its caller gave up.
const CANCELLED: u8 = 1;
/// And for one that its deadline ended.
const DEADLINE_EXCEEDED: u8 = 4;

/// A call in flight. It counts as ended when it is dropped.
pub(super) struct Call {
    peer: Arc<Peer>,
    respond: SendResponse<Bytes>,
    stage: Stage,
    started: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
    reader: Reader,
    path: Option<PathAndQuery>,
    seat: Option<(usize, Arc<Open>)>,
    resent: u8,
    /// How it ended, as the client saw it.
    status: Option<u8>,
    bytes_up: u64,
    bytes_down: u64,
    pass: Option<Pass>,
    account: Account,
}

type Waited = Pin<Box<dyn Future<Output = Result<Slot, Fault>> + Send>>;

enum Stage {
    /// A drill holds it up.
    Held {
        until: Pin<Box<Sleep>>,
        head: Box<Parts>,
        body: Option<RecvStream>,
    },
    Waiting {
        slot: Waited,
        head: Box<Parts>,
        body: Option<RecvStream>,
    },
    Asked(Asked),
    Answering {
        slot: Slot,
        up: Option<Pump>,
        down: Pump,
    },
    Over,
}

impl Stage {
    fn at(&self) -> At {
        match self {
            Stage::Held { .. } => At::Held,
            Stage::Waiting { .. } => At::Waiting,
            Stage::Asked(_) => At::Asked,
            Stage::Answering { .. } => At::Answering,
            Stage::Over => At::Over,
        }
    }
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
            path: None,
            seat: None,
            resent: 0,
            status: Some(CANCELLED),
            bytes_up: 0,
            bytes_down: 0,
            pass: Some(pass),
            account: Account::open(peer, started),
        }
    }

    /// Sends the call on at once if there is a place, and waits for one if not; `None` if it is over
    /// already.
    pub(super) fn begin(mut self, head: Parts, body: RecvStream) -> Option<Self> {
        if let Poll::Ready(gone) = self.respond.poll_reset(&mut Context::from_waker(Waker::noop())) {
            self.client_gone(gone.is_ok()); // before it was looked at: an issuer never hears of it
            return None;
        }
        self.account.is_ours(open::is_ours(head.uri.path()));
        self.path = head.uri.path_and_query().cloned();
        let body = (!body.is_end_stream()).then_some(body);
        match self.peer.played() {
            Played::Nothing => self.forward(head, body),
            Played::Fail => self.fail(answer::drilled()),
            Played::Dropped => self.fail(upstream::away()),
            Played::Hang => self.hold(HANG, head, body),
            Played::Wait(wait) => self.hold(wait, head, body),
        }
        (!matches!(self.stage, Stage::Over)).then_some(self)
    }

    fn hold(&mut self, wait: Duration, head: Parts, body: Option<RecvStream>) {
        let (until, head) = (Box::pin(tokio::time::sleep(wait)), Box::new(head));
        self.stage = Stage::Held { until, head, body };
    }

    /// The drill has held it up long enough.
    fn release(&mut self) {
        if let Stage::Held { head, body, .. } = std::mem::replace(&mut self.stage, Stage::Over) {
            self.forward(*head, body);
        }
    }

    fn forward(&mut self, head: Parts, body: Option<RecvStream>) {
        match self.peer.shard.upstreams().try_slot() {
            Some(slot) => self.ask(slot, head, body),
            None => self.wait(Box::new(head), body, None),
        }
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
                self.account.asks(&slot.link);
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
                Stage::Held { until, .. } => {
                    if let Poll::Ready(gone) = self.respond.poll_reset(cx) {
                        Poll::Ready(Look::ClientGone { reset: gone.is_ok() })
                    } else if until.as_mut().poll(cx).is_ready() {
                        self.release();
                        continue;
                    } else {
                        Poll::Pending
                    }
                }
                Stage::Waiting { slot, .. } => {
                    if let Poll::Ready(gone) = self.respond.poll_reset(cx) {
                        Poll::Ready(Look::ClientGone { reset: gone.is_ok() })
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
                Poll::Ready(Look::Headers(response)) => self.answer(response),
                Poll::Ready(Look::Answered(status)) => self.over(status),
                Poll::Ready(Look::Broken(error)) => self.broken(&error),
                Poll::Ready(Look::ClientGone { reset }) => self.client_gone(reset),
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
        self.account.answered(&self.peer);
        let (head, body) = response.into_parts();
        let end = body.is_end_stream();
        let status = grpc_status(&head.headers);
        match self.respond.send_response(Response::from_parts(head, ()), end) {
            Ok(sink) if !end => {
                self.stage = Stage::Answering { slot, up, down: Pump::new(body, sink) };
            }
            sent => {
                self.bytes_up += up.map_or(0, |up| up.bytes()); // it may have overtaken the request
                if sent.is_ok() { self.over(status) } else { self.client_gone(false) }
            }
        }
    }

    fn over(&mut self, status: Option<u8>) {
        self.status = status;
        if let Stage::Answering { slot, up, down } = std::mem::replace(&mut self.stage, Stage::Over) {
            self.bytes_down += down.bytes();
            self.bytes_up += up.map_or(0, |up| up.bytes());
            let bytes = down.bytes();
            slot.link.ended(down.into_source(), bytes);
        }
    }

    /// The issuer, or the connection to it, broke off.
    fn broken(&mut self, error: &h2::Error) {
        if let Stage::Asked(asked) = &mut self.stage
            && answer::is_unprocessed(error)
            && self.peer.played() != Played::Dropped // nor is there another connection then
            && self.bytes_up == 0 // else a part of the body is gone and cannot be sent again
            && asked.up.as_ref().is_none_or(|up| up.bytes() == 0)
            && let Some(head) = asked.kept.take()
        {
            let avoid = Some(asked.slot.link.id());
            let body = asked.up.take().map(Pump::into_source);
            self.resent += 1;
            self.account.asks_no_more();
            self.peer.shard.stats().event(Event::Resent);
            return self.wait(head, body, avoid);
        }
        tracing::debug!(caller = %self.peer.identity, %error, "an issuer broke a call off: {error}");
        self.fail(if answer::is_unprocessed(error) { answer::unsent(error) } else { answer::unknown() });
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
            Stage::Held { .. } | Stage::Waiting { .. } | Stage::Over => {}
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

impl Future for Call {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        if me.seat.is_none() {
            let open = Arc::new(Open::new(me.peer.whose, me.path.take(), me.started));
            me.seat = Some((me.peer.shard.bell().sit(cx.waker(), &open), open));
        }
        let shard = &me.peer.shard;
        let (waits, rung) =
            (matches!(me.stage, Stage::Waiting { .. }), shard.bell().is_rung(shard.ns_at(me.started)));
        // Places come free at the end of a drain, and what waits for one must not be sent on any more.
        if !(waits && rung) && me.step(cx).is_ready() {
            return Poll::Ready(());
        }
        let path = me.seat.as_ref().map_or("", |(_, open)| open.method());
        me.account.owes(&me.peer, matches!(&me.stage, Stage::Asked(asked) if asked.is_owed(path)));
        me.account.look(&me.peer);
        if me.deadline.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
            me.fail(Fault::new(
                Reason::DeadlineExceeded,
                "the call's deadline passed: ask with a longer one",
            ));
        } else if rung {
            me.fail(answer::stopping(!waits));
        } else {
            me.seat.iter().for_each(|(_, open)| open.is_at(me.stage.at()));
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Headers alone are something of a stream: it may have nothing to say.
        let mut spoke = self.bytes_down > 0;
        if let Some((seat, open)) = self.seat.take() {
            self.peer.shard.bell().leave(seat);
            spoke |= self.status == Some(DEADLINE_EXCEEDED) && wire::streams(open.method()).answer;
        }
        self.reader.leave(&self.peer.tenant);
        self.account.close(&self.peer, self.status, spoke);
        let shard = &self.peer.shard;
        shard.stats().end(self.status, self.bytes_up, self.bytes_down);
    }
}
