//! Callers that wait for the same connection share a commit; whoever is first in turn commits for all.
//!
//! Nobody waits for a timer: the next group is whoever came while the one before was committed, and who
//! cannot wait ([`before_others`]) stands before all who can. A [`Job`] says what may share a commit with
//! what. Chunks are stored one by one in the transaction that they share,
//! so that of a chunk that is in a group twice the second finds the first; that spares a file a commit for
//! each, while on a server as many chunks of one record come through as by 16 connections that commit each
//! by itself, at half the CPU. Changes of items go together in each statement, so that of two of one item
//! the second waits for the next group (`loadtest mutations` has the figures). Batches are opened, sealed
//! and aborted each in a transaction of its own: 1,741 municipalities that do so within the same ten minutes
//! are three in a second.
//!
//! [`before_others`]: super::before_others

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use super::{Error, turns};

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
    /// Whether whoever waits cannot.
    first: bool,
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
        let first = turns::is_before_others();
        let mut queue = self.queue();
        let place = if first { queue.partition_point(|one| one.first) } else { queue.len() };
        queue.insert(place, Pending { job: Arc::clone(&job), first, reply });
        drop(queue);
        Waiting { job, outcome }
    }

    /// Waits until the job's fate is known, or until it is this caller's turn to commit what waits.
    ///
    /// Nobody depends on another's patience: if the one whose turn it is is dropped, each of the others puts
    /// its job back. Nothing of the group is stored then, or, if COMMIT was under way, all of it: the
    /// others learn that theirs was done before. A caller that is neither polled nor dropped would keep the
    /// turn from everybody, so whoever calls this does it in a task of its own (uploads do: one for each
    /// frame; calls are tasks) and never in a future that is polled only between other waits.
    ///
    /// A group that is taken has `jobs_max` at the most, and never more than the queue's own limit.
    pub(super) async fn wait(&self, waiting: &mut Waiting<J>, jobs_max: usize) -> Next<'_, J> {
        loop {
            tokio::select! {
                biased;
                outcome = &mut waiting.outcome => match outcome {
                    Ok(outcome) => return Next::Answer(outcome),
                    Err(_) => *waiting = self.join(Arc::clone(&waiting.job)),
                },
                turn = self.turn.lock() => return Next::Commit(turn, self.next(jobs_max.min(self.jobs_max))),
            }
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Pending<J>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next group out of the queue, without those whose caller is gone. Who does not fit in stays
    /// where it was.
    fn next(&self, jobs_max: usize) -> Vec<Pending<J>> {
        let mut queue = self.queue();
        let (mut group, mut left, mut taken) = (Vec::new(), Vec::new(), J::Taken::default());
        while group.len() < jobs_max {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Number(u32);

    impl Job for Number {
        type Outcome = ();
        type Taken = ();

        fn enter(&self, (): &mut ()) -> bool {
            self.0 != 2 // it waits for the next one, and keeps its place
        }
    }

    #[tokio::test]
    async fn who_cannot_wait_stands_before_all_who_can_and_behind_his_like() {
        let group = Group::new(3);
        let mut waiting: Vec<Waiting<Number>> = Vec::new();
        for number in [1, 2, 3] {
            waiting.push(group.join(Arc::new(Number(number))));
        }
        for number in [4, 5] {
            waiting.push(turns::before_others(async { group.join(Arc::new(Number(number))) }).await);
        }
        waiting.push(group.join(Arc::new(Number(6))));
        let next = || group.next(3).iter().map(|one| one.job.0).collect::<Vec<_>>();
        assert_eq!([next(), next()], [vec![4, 5, 1], vec![3, 6]]);
        assert_eq!(group.queue().len(), 1, "the one that fits in with nobody");
    }
}
