//! A caller that does not read its answers may hold a bounded part of the connection that all share, for a
//! bounded time.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep};

use super::{admission::Tenant, options::Options};

/// How one answer's reader keeps up.
#[derive(Default)]
pub(super) struct Reader {
    stage: Stage,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Reads,
    /// Behind, as everybody is for moments.
    Behind,
    /// Behind for so long that it counts in its caller's account.
    Counted,
}

impl Reader {
    /// Ready when the answer has to be given up.
    pub(super) fn poll(
        &mut self,
        blocked: bool,
        tenant: &Tenant,
        options: &Options,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if !blocked {
            self.leave(tenant);
            return Poll::Pending;
        }
        loop {
            let patience = match self.stage {
                Stage::Reads => {
                    self.stage = Stage::Behind;
                    options.reader_grace
                }
                Stage::Behind => {
                    ready!(self.late(cx));
                    if !tenant.begin_unread(options.caller_unread_max) {
                        return Poll::Ready(());
                    }
                    self.stage = Stage::Counted;
                    options.reader_patience
                }
                Stage::Counted => return self.late(cx),
            };
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(Instant::now() + patience),
                None => self.timer = Some(Box::pin(sleep(patience))),
            }
        }
    }

    fn late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }

    /// It reads again, or never will.
    pub(super) fn leave(&mut self, tenant: &Tenant) {
        if std::mem::take(&mut self.stage) == Stage::Counted {
            tenant.end_unread();
        }
    }
}
