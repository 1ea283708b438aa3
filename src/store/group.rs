//! Callers that wait for the same connection share a commit; whoever is first in turn commits for all.
//!
//! Nobody waits for a timer: the next group is whoever came while the one before was committed. A [`Job`]
//! says what may share a commit with what. Chunks are stored one by one in the transaction that they share,
//! so that of a chunk that is in a group twice the second finds the first; that spares a file a commit for
//! each, while on a server as many chunks of one record come through as by 16 connections that commit each
//! by itself, at half the CPU. Changes of items go together in each statement, so that of two of one item
//! the second waits for the next group (`loadtest mutations` has the figures). Batches are opened, sealed
//! and aborted each in a transaction of its own: 1,741 municipalities that do so within the same ten minutes
//! are three in a second.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use super::Error;

/// What can wait in a queue.
pub(super) trait Job: fmt::Debug + Send + Sync {
    /// What becomes of it.
    type Outcome: fmt::Debug + Send;
    /// What a group has taken in so far.
    type Taken: Default;

    /// Takes its place in a group; `false` leaves it for the next one.
    fn enter(&self, taken: &mut Self::Taken) -> bool;
}

/// A job with somebody who waits for what becomes of it.
#[derive(Debug)]
pub(super) struct Pending<J: Job> {
    pub(super) job: Arc<J>,
    reply: oneshot::Sender<Result<J::Outcome, Error>>,
}

impl<J: Job> Pending<J> {
    pub(super) fn answer(self, outcome: Result<J::Outcome, Error>) {
        let _ = self.reply.send(outcome); // whoever waited may be gone
    }
}

/// One caller's place in the queue.
#[derive(Debug)]
pub(super) struct Waiting<J: Job> {
    job: Arc<J>,
    outcome: oneshot::Receiver<Result<J::Outcome, Error>>,
}

/// What a caller does next.
pub(super) enum Next<'a, J: Job> {
    /// Its job's fate is known.
    Answer(Result<J::Outcome, Error>),
    /// It commits this group, and gives the turn back after that.
    Commit(tokio::sync::MutexGuard<'a, ()>, Vec<Pending<J>>),
}

/// Jobs that wait, and the turn to commit them.
#[derive(Debug)]
pub(super) struct Group<J: Job> {
    jobs_max: usize,
    waiting: Mutex<VecDeque<Pending<J>>>,
    turn: tokio::sync::Mutex<()>,
}

impl<J: Job> Group<J> {
    pub(super) fn new(jobs_max: usize) -> Self {
        Self { jobs_max: jobs_max.max(1), waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Puts a job into the queue.
    pub(super) fn join(&self, job: Arc<J>) -> Waiting<J> {
        let (reply, outcome) = oneshot::channel();
        self.queue().push_back(Pending { job: Arc::clone(&job), reply });
        Waiting { job, outcome }
    }

    /// Waits until the job's fate is known, or until it is this caller's turn to commit what waits.
    ///
    /// Nobody depends on another's patience: if the one whose turn it is is dropped, each of the others puts
    /// its job back. Nothing of the group is stored then, or, if COMMIT was under way, all of it: the
    /// others learn that theirs was done before. A caller that is neither polled nor dropped would keep the
    /// turn from everybody, so whoever calls this does it in a task of its own (uploads do: one for each
    /// frame; calls are tasks) and never in a future that is polled only between other waits.
    pub(super) async fn wait(&self, waiting: &mut Waiting<J>) -> Next<'_, J> {
        loop {
            tokio::select! {
                biased;
                outcome = &mut waiting.outcome => match outcome {
                    Ok(outcome) => return Next::Answer(outcome),
                    Err(_) => *waiting = self.join(Arc::clone(&waiting.job)),
                },
                turn = self.turn.lock() => return Next::Commit(turn, self.next()),
            }
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Pending<J>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next group out of the queue, without those whose caller is gone. Who does not fit in stays
    /// where it was.
    fn next(&self) -> Vec<Pending<J>> {
        let mut queue = self.queue();
        let (mut group, mut left, mut taken) = (Vec::new(), Vec::new(), J::Taken::default());
        while group.len() < self.jobs_max {
            let Some(one) = queue.pop_front() else { break };
            if one.reply.is_closed() {
                continue;
            }
            if one.job.enter(&mut taken) {
                group.push(one);
            } else {
                left.push(one);
            }
        }
        left.into_iter().rev().for_each(|one| queue.push_front(one));
        group
    }
}

/// Answers a group of one with its failure, or all of a group with what they share.
pub(super) fn answer_all<J: Job>(group: Vec<Pending<J>>, error: Error) {
    let mut own = Some(error);
    for one in group {
        let shared = own.as_ref().and_then(Error::shared);
        if let Some(error) = shared.or_else(|| own.take()) {
            one.answer(Err(error));
        }
    }
}
