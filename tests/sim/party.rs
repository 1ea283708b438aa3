//! A municipality that imports its file, again from the start whenever it was killed, until it has a receipt.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use todoke::{
    client::{
        calls::CallOptions,
        endpoints::Endpoints,
        error::Error,
        events::Event,
        flow::{RunOptions, import},
        journal::Journal,
        outcome::Outcome,
        plan::{NewBatch, receipt_path_for},
        reader::ReadOptions,
        session::Session,
        uploader::UploadOptions,
    },
    domain::manifest::Policy,
};

/// A municipality and what is known of its batch from outside.
#[derive(Clone)]
pub(crate) struct Ward {
    pub(crate) name: &'static str,
    pub(crate) code: &'static str,
    pub(crate) batch_id: &'static str,
    pub(crate) file: PathBuf,
    pub(crate) records: u64,
    pub(crate) known: Arc<Mutex<Known>>,
}

/// What the sender was told so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Records that were said to be durable.
    pub(crate) acknowledged: u64,
    /// The digest of the verified receipt.
    pub(crate) receipt: Option<String>,
    /// When it was there, in milliseconds of simulated time.
    pub(crate) receipt_ms: u128,
    /// Runs that ended otherwise.
    pub(crate) tries: u32,
}

impl Ward {
    pub(crate) fn new(
        folder: &Path,
        name: &'static str,
        code: &'static str,
        batch_id: &'static str,
        records: u64,
    ) -> Self {
        let file = folder.join(format!("{name}.csv"));
        let mut text = "order_id,kind,household_id,district,name,birth_date,sex,address\n".to_owned();
        for n in 0..records {
            let (house, district) = (n / 2, if n < records / 2 { "白鳥" } else { "亀有" });
            let _ =
                writeln!(text, "K-{n},NOTIFICATION_CARD,H{house},{district},葛飾,1980-01-02,2,葛飾区立石");
        }
        fs::write(&file, text).expect("writable");
        Self { name, code, batch_id, file, records, known: Arc::default() }
    }

    /// Imports the file until there is a receipt; dropped when the process is killed.
    pub(crate) async fn imports(self, endpoints: PathBuf, seed: u64) {
        loop {
            match self.once(&endpoints, seed).await {
                Ok(Outcome::Receipted { digest, accepted, records, .. }) => {
                    assert_eq!((accepted, records), (self.records, self.records));
                    let mut known = self.known.lock().expect("unpoisoned");
                    known.receipt = Some(digest);
                    known.receipt_ms = turmoil::sim_elapsed().expect("in a simulation").as_millis();
                    return;
                }
                Ok(Outcome::TryAgain { .. }) => {}
                Ok(other) => panic!("{}: {other:?}", self.name),
                Err(Error::Call(error)) if error.transient => {}
                Err(error) => panic!("{}: {error}", self.name),
            }
            self.known.lock().expect("unpoisoned").tries += 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn once(&self, endpoints: &Path, seed: u64) -> Result<Outcome, Error> {
        let endpoints = Endpoints::load(endpoints)?;
        let known = Arc::clone(&self.known);
        let tell = move |event: &Event| {
            let mut known = known.lock().expect("unpoisoned");
            if let Event::Uploading { durable_records, .. } | Event::Opened { durable_records, .. } = event {
                known.acknowledged = known.acknowledged.max(*durable_records);
            }
        };
        let caller = format!("municipality/{}", self.code);
        let session = Session::connect(&endpoints, &caller, CallOptions::default(), seed, Arc::new(tell))?;
        Box::pin(import(&session, &self.file, &self.options())).await
    }

    fn options(&self) -> RunOptions {
        RunOptions {
            read: ReadOptions::default(),
            chunk_records: 4,
            control_totals: None,
            journal: Journal::path_for(&self.file),
            receipt: receipt_path_for(&self.file),
            new: Some(NewBatch {
                batch_id: self.batch_id.parse().expect("version 7"),
                sequence: None,
                policy: Policy::AllOrNothing,
                seal_by_ms: super::system::now_ms() + 3_600_000,
                seal_by_told: false,
            }),
            policy: Policy::AllOrNothing,
            upload: UploadOptions { window: 2, ..UploadOptions::default() },
            nothing: false,
            gap_rounds: 3,
            no_progress: Duration::from_secs(120),
        }
    }
}
