//! Sends chunks over several relays at once: when it returns `Complete`, the relays have said that the issuer
//! acknowledged every chunk as committed, or that the batch is sealed; which of them said what is kept, and
//! the seal shows whether it was true. What a stream left open that broke, fell silent or did damage goes
//! over another relay.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tonic::Status;

use super::{
    calls::{CallError, Caller},
    events::{Event, Tell},
    heard::Heard,
    reader::ReadOptions,
    refusals::{is_transient, wants_second_opinion},
    scan::{FileChunk, Scan},
    streams::{ReadChunks, Stream, StreamEvent, StreamStart, close, read_chunks},
    uploaded::{UploadError, Uploaded},
};
use crate::{
    crash::{self, Point},
    domain::ranges::Ranges,
    wire::{
        fault::{Fault, Reason},
        pb,
        text::one_line,
    },
};

/// So often one relay alone may say that the issuer refuses before it is believed.
const REFUSALS_MAX: usize = 2;

/// Limits of an upload.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// Streams at a time, over different relays where there are as many; default 2.
    pub streams: usize,
    /// Chunks read and not acknowledged, over all streams; default 5. Each is held until then, about 0.4 MiB.
    pub window: usize,
    /// How long a stream with something open may be silent; default 5 s.
    pub ack_time_out: Duration,
    /// How often a chunk that arrived damaged is sent again; default 3.
    pub resends_max: u32,
    /// How long an upload may go without one more chunk becoming durable; default 120 s.
    pub no_progress: Duration,
    /// Test aid: stops, as if cut, once this many records were sent and acknowledged.
    pub stop_after_records: Option<u64>,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            streams: 2,
            window: 5,
            ack_time_out: Duration::from_secs(5),
            resends_max: 3,
            no_progress: Duration::from_secs(120),
            stop_after_records: None,
        }
    }
}

/// What is uploaded.
pub struct Upload<'a> {
    /// Over whom.
    pub caller: &'a Caller,
    /// The file.
    pub path: &'a Path,
    /// How it is read.
    pub read: &'a ReadOptions,
    /// Its first pass.
    pub scan: &'a Scan,
    /// The first frame of each stream.
    pub start: StreamStart,
    /// Limits.
    pub options: &'a UploadOptions,
    /// Who listens.
    pub tell: &'a Tell,
}

struct Flight {
    chunk: FileChunk,
    stream: u64,
    sent_at: Instant,
}

struct State<'a> {
    upload: &'a Upload<'a>,
    durable: &'a mut Ranges,
    said: BTreeMap<usize, Ranges>,
    refused_by: Vec<usize>,
    heard: Heard,
    in_flight: BTreeMap<u32, Flight>,
    again: VecDeque<FileChunk>,
    resends: BTreeMap<u32, u32>,
    streams: Vec<Stream>,
    next_stream: u64,
    failures: u32,
    reopen_at: Instant,
    last_left: Vec<usize>,
    last_status: Status,
    progress_at: Instant,
    sent_records: u64,
    source_ended: bool,
    spent: mpsc::UnboundedSender<Bytes>,
    tasks: JoinSet<()>,
    events: mpsc::Sender<StreamEvent>,
}

/// Uploads every chunk that is not in `durable`, and notes there each one that is acknowledged.
///
/// # Errors
/// [`UploadError`]; what was acknowledged until then stays durable.
pub async fn upload(upload: &Upload<'_>, durable: &mut Ranges) -> Result<Uploaded, UploadError> {
    let missing = durable.missing(upload.scan.chunk_roots.len() as u64);
    if missing.is_empty() {
        return Ok(Uploaded::Complete(BTreeMap::new()));
    }
    let (events, mut heard) = mpsc::channel(64);
    let mut tasks = JoinSet::new();
    let ReadChunks { mut chunks, spent } =
        read_chunks(&mut tasks, upload.options.window, upload.path, upload.read, upload.scan, missing)
            .map_err(UploadError::Input)?;
    let mut state = State::new(upload, durable, spent, tasks, events);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        state.keep_streams();
        state.dispatch();
        if let Some(end) = state.end()? {
            close(&mut state.streams, &mut heard).await;
            return Ok(end);
        }
        let room = !state.source_ended && state.wants_more();
        tokio::select! {
            Some(event) = heard.recv() => state.hear(event)?,
            chunk = chunks.recv(), if room => match chunk {
                Some(chunk) => state.again.push_back(chunk.map_err(UploadError::Input)?),
                None => state.source_ended = true,
            },
            _ = tick.tick() => (),
        }
    }
}

impl<'a> State<'a> {
    fn new(
        upload: &'a Upload<'a>,
        durable: &'a mut Ranges,
        spent: mpsc::UnboundedSender<Bytes>,
        tasks: JoinSet<()>,
        events: mpsc::Sender<StreamEvent>,
    ) -> Self {
        let now = Instant::now();
        Self {
            upload,
            durable,
            said: BTreeMap::new(),
            refused_by: Vec::new(),
            heard: Heard::default(),
            in_flight: BTreeMap::new(),
            again: VecDeque::new(),
            resends: BTreeMap::new(),
            streams: Vec::new(),
            next_stream: 0,
            failures: 0,
            reopen_at: now,
            last_left: Vec::new(),
            last_status: Status::unavailable("no relay has answered"),
            progress_at: now,
            sent_records: 0,
            source_ended: false,
            spent,
            tasks,
            events,
        }
    }

    fn cutting(&self) -> bool {
        self.upload.options.stop_after_records.is_some_and(|limit| self.sent_records >= limit)
    }

    fn wants_more(&self) -> bool {
        !self.streams.is_empty() && !self.cutting() && self.again.is_empty()
    }

    fn is_silent(&self, stream: &Stream, now: Instant) -> bool {
        let sent = self.in_flight.values().filter(|flight| flight.stream == stream.id);
        let oldest = sent.map(|flight| flight.sent_at.max(stream.heard_at)).min();
        oldest.is_some_and(|since| now.duration_since(since) > self.upload.options.ack_time_out)
    }

    // Leaves silent streams and opens as many as there should be.
    fn keep_streams(&mut self) {
        let (now, limit) = (Instant::now(), self.upload.options.ack_time_out);
        while let Some(at) = self.streams.iter().position(|stream| self.is_silent(stream, now)) {
            self.leave(at, Status::deadline_exceeded(format!("no acknowledgement for {limit:?}")));
        }
        let refusing = usize::from(!self.refused_by.is_empty());
        // One that is to get little gets no stream of its own.
        let relays = self.upload.caller.picker().whole_count().saturating_sub(refusing);
        let wanted = self.upload.options.streams.min(relays).max(1);
        while self.streams.len() < wanted && now >= self.reopen_at {
            let mut avoid: Vec<usize> = self.streams.iter().map(|stream| stream.picked.index()).collect();
            if avoid.len() + self.last_left.len() < self.upload.caller.picker().whole_count() {
                avoid.extend(&self.last_left);
            }
            avoid.extend(self.refused_by.iter().copied().chain(self.heard.closed()));
            self.next_stream += 1;
            let stream = Stream::open(
                self.next_stream,
                self.upload.caller,
                &avoid,
                &self.upload.start,
                self.upload.options.window,
                (&mut self.tasks, &self.events),
            );
            self.streams.push(stream);
        }
    }

    // Gives chunks to the streams with the least in flight, as long as the window has room.
    fn dispatch(&mut self) {
        while self.in_flight.len() < self.upload.options.window {
            let load = |stream: &Stream| self.in_flight.values().filter(|f| f.stream == stream.id).count();
            let Some(stream) = self.streams.iter().min_by_key(|stream| load(stream)) else { return };
            let Some(chunk) = self.again.pop_front() else { return };
            if self.durable.contains(u64::from(chunk.number)) {
                let _ = self.spent.send(chunk.payload);
                continue;
            }
            if !stream.send(&chunk) {
                // The stream has just ended; its end is about to be heard and opens another.
                self.again.push_front(chunk);
                return;
            }
            self.sent_records += u64::from(chunk.records);
            let flight = Flight { stream: stream.id, sent_at: Instant::now(), chunk };
            self.in_flight.insert(flight.chunk.number, flight);
        }
    }

    fn end(&self) -> Result<Option<Uploaded>, UploadError> {
        if self.durable.missing(self.upload.scan.chunk_roots.len() as u64).is_empty() {
            return Ok(Some(Uploaded::Complete(self.said.clone())));
        }
        if self.cutting() && self.in_flight.is_empty() && self.again.is_empty() {
            return Ok(Some(Uploaded::Cut));
        }
        if self.progress_at.elapsed() > self.upload.options.no_progress {
            return Err(UploadError::GaveUp(self.last_status.clone()));
        }
        // Whoever reads the file has died: what it read is in flight, waits, or is durable.
        if self.source_ended && self.in_flight.is_empty() && self.again.is_empty() {
            return Err(UploadError::GaveUp(Status::internal("the file was not read to its end")));
        }
        Ok(None)
    }

    fn hear(&mut self, event: StreamEvent) -> Result<(), UploadError> {
        let (StreamEvent::Answer(id, _) | StreamEvent::Ended(id, _)) = &event;
        // What a stream said that was left meanwhile counts for nothing.
        let Some(at) = self.streams.iter().position(|stream| stream.id == *id) else { return Ok(()) };
        match event {
            StreamEvent::Answer(_, answer) => self.answer(at, &answer),
            StreamEvent::Ended(_, status) => self.ended(at, status),
        }
    }

    fn ended(&mut self, at: usize, status: Status) -> Result<(), UploadError> {
        match Fault::from_status(&status) {
            Some(fault) if fault.reason == Reason::BatchSealed => {
                let stream = self.streams.swap_remove(at);
                let last = (self.upload.scan.chunk_roots.len() as u64).saturating_sub(1);
                self.durable.insert_range(0, last);
                self.said.entry(stream.picked.index()).or_default().insert_range(0, last);
            }
            fault if !is_transient(&status, fault.as_ref()) => return self.refused(at, status, fault),
            fault => return self.failed(at, status, fault),
        }
        Ok(())
    }

    // A certificate that every relay refuses gets better by no waiting, as in a call.
    fn failed(&mut self, at: usize, status: Status, fault: Option<Fault>) -> Result<(), UploadError> {
        let (relay, relays) = (self.streams[at].picked.index(), self.upload.caller.picker().relay_count());
        let (attempts, fault) = (self.failures + 1, fault.map(Box::new));
        let status = Box::new(status);
        let error = CallError { method: "UploadChunks", status, fault, attempts, transient: true };
        if self.heard.note(relay, &error, relays) {
            return Err(UploadError::NotServed(self.upload.caller.confirmed(error)));
        }
        self.leave(at, *error.status);
        Ok(())
    }

    // One relay alone is not believed that the issuer refuses, while there is another to ask; unless it is
    // the only one that can be reached.
    fn refused(&mut self, at: usize, status: Status, fault: Option<Fault>) -> Result<(), UploadError> {
        let relay = self.streams[at].picked.index();
        if self.refused_by.iter().any(|other| *other != relay)
            || self.refused_by.len() >= REFUSALS_MAX
            || !wants_second_opinion(fault.as_ref())
            || self.upload.caller.picker().relay_count() == 1
        {
            return Err(fault.map_or(UploadError::GaveUp(status), UploadError::Refused));
        }
        self.refused_by.push(relay);
        self.leave(at, status);
        Ok(())
    }

    fn answer(&mut self, at: usize, answer: &pb::UploadChunksResponse) -> Result<(), UploadError> {
        let before = self.durable.len();
        let stream = &mut self.streams[at];
        stream.heard_at = Instant::now();
        self.heard.serves(stream.picked.index());
        let said = self.said.entry(stream.picked.index()).or_default();
        for range in &answer.durable_chunks {
            let (first, last) = (u64::from(range.first), u64::from(range.last));
            self.durable.insert_range(first, last);
            said.insert_range(first, last);
        }
        let durable = &*self.durable;
        for (_, flight) in self.in_flight.extract_if(.., |number, _| durable.contains(u64::from(*number))) {
            let _ = self.spent.send(flight.chunk.payload);
        }
        if self.durable.len() > before {
            self.progress_at = Instant::now();
            self.failures = 0;
            self.tell_progress();
            crash::point(Point::ChunkAcknowledged);
        }
        self.faulty(at, &answer.faults)
    }

    // Leaves a stream over which chunks came damaged: another relay may have a better line.
    fn faulty(&mut self, at: usize, faults: &[pb::ChunkFault]) -> Result<(), UploadError> {
        let id = self.streams[at].id;
        let mut damaged = BTreeSet::new();
        for fault in faults {
            let reason = Reason::parse(&fault.reason).unwrap_or(Reason::Internal);
            let said = Fault::new(reason, one_line(&fault.message));
            if !reason.safe_to_retry() {
                return self.refused(at, Status::from(said.clone()), Some(said));
            }
            let number = fault.chunk_number;
            let sent = self.in_flight.get(&number).is_some_and(|flight| flight.stream == id);
            if sent && damaged.insert(number) {
                let times = self.resends.entry(number).or_default();
                *times += 1;
                if *times > self.upload.options.resends_max {
                    return Err(UploadError::Refused(said));
                }
            }
        }
        if let Some(fault) = faults.first() {
            let words = format!("chunk {}: {}", fault.chunk_number, one_line(&fault.message));
            self.leave(at, Status::data_loss(words));
        }
        Ok(())
    }

    // Gives a stream up; what it left open is sent again over another relay.
    fn leave(&mut self, at: usize, status: Status) {
        let stream = self.streams.swap_remove(at);
        let (now, most, caller) = (Instant::now(), self.upload.options.no_progress, self.upload.caller);
        stream.picked.failed(now);
        self.failures += 1;
        self.heard.hold(stream.picked.index(), Fault::from_status(&status).as_ref());
        let asked = self.heard.asked(caller.picker().relay_count());
        self.reopen_at = now + caller.wait(self.failures, asked, most).unwrap_or(most);
        self.last_left = vec![stream.picked.index()];
        let why = format!("{:?}: {}", status.code(), status.message());
        (self.upload.tell)(&Event::RelayLeft { relay: stream.picked.name().to_owned(), why });
        self.last_status = status;
        let open: Vec<u32> =
            self.in_flight.values().filter(|f| f.stream == stream.id).map(|f| f.chunk.number).collect();
        for number in open {
            if let Some(flight) = self.in_flight.remove(&number) {
                self.again.push_back(flight.chunk);
            }
        }
    }

    fn tell_progress(&self) {
        let scan = self.upload.scan;
        let mut relays: Vec<String> = self.streams.iter().map(|s| s.picked.name().to_owned()).collect();
        relays.sort_unstable();
        let (durable_records, records) = (scan.records_in(self.durable), scan.totals.records);
        (self.upload.tell)(&Event::Uploading { durable_records, records, relays });
    }
}
