//! Steps (a) and (b): a clean load is accepted whole, and the load of 2015 is refused before anything is
//! sent.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    audit::{beside, number, settled, text},
    extract::Extract,
    narrator::{Narrator, figure},
    stage::{HOUSEHOLDS, LOST, LOST_HOUSEHOLDS, Stage},
    trouble::Trouble,
};
use crate::runtime::exit;

/// A load that arrived whole.
pub(crate) struct Loaded {
    /// The file.
    pub(crate) extract: Extract,
    /// Its batch.
    pub(crate) batch: String,
}

/// (a): a clean load of all households.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn clean(stage: &Stage, tale: &mut Narrator) -> Result<Loaded, Trouble> {
    let load = stage.sample("clean", 7, &[]).await?;
    tale.say(&format!(
        "Katsushika ward loads {} households, {} records; {} households live in {LOST}.",
        figure(load.households()),
        figure(load.records()),
        figure(load.district(LOST).households)
    ));
    tale.same("households in the file", HOUSEHOLDS, load.households());
    tale.same("households of 白鳥 in the file", LOST_HOUSEHOLDS, load.district(LOST).households);
    let begun = Instant::now();
    let ended = stage.import(&load, &[])?.end().await?;
    let took = begun.elapsed();
    settled(stage, tale, &load, &ended).await?;
    let result = ended.said("result")?;
    tale.say(&format!(
        "The tally was compared first; then {} records were sent, worked off and accepted in {}.",
        figure(number(result, "records")),
        seconds(took)
    ));
    tale.say(&format!("The receipt {} was checked against the file's own totals.", text(result, "digest")));
    let batch = text(result, "batch_id").to_owned();
    Ok(Loaded { extract: load, batch })
}

/// (b): the extract of 2015, which lacks a district that the tally has.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn of_2015(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    let whole = stage.sample("whole-2015", 2015, &[]).await?;
    let load = stage.sample("extract-2015", 2015, &["--omit-district", LOST]).await?;
    let lost = whole.district(LOST);
    tale.say(&format!(
        "The extract has {} records; the {} of {LOST} are not in it, and the tally of the register has them.",
        figure(load.records()),
        figure(lost.records)
    ));
    tale.same("records of 白鳥 in the extract", 0, load.district(LOST).records);
    let batches = stage.batch_count().await?;
    let ended = stage.import(&load, &[])?.end().await?;
    tale.ends_with("the import is refused", exit::TOTALS, &ended);
    let differences = ended.said("result")?["differences"].clone();
    let words: Vec<&str> =
        differences.as_array().into_iter().flatten().filter_map(|one| one.as_str()).collect();
    let named: Vec<&str> = words.iter().filter_map(|words| words.split(':').next()).collect();
    tale.holds("districts that it names", LOST, &named.join(", "), named == [LOST]);
    let says = |count: u64| words.iter().any(|words| words.contains(&format!("{count} ")));
    let counts = [lost.households, lost.records];
    let found = if counts.iter().all(|count| says(*count)) { counts } else { [0, 0] };
    tale.all_same("households / records that it misses there", &counts, &found);
    let (again, connected) = stage.import_to_nobody(&load).await?;
    tale.same(
        "connections that it made before it refused",
        0,
        u64::from(connected || again.code != ended.code),
    );
    tale.same("batches that it began", 0, stage.batch_count().await? - batches);
    let journal = beside(&load.file, "todoke-journal").exists();
    tale.holds("a journal that says it was begun", "none", if journal { "one" } else { "none" }, !journal);
    tale.say(&format!("Refused before anything was sent: {}.", words.join("; ")));
    Ok(())
}

/// A span in seconds with one decimal.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
