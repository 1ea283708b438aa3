//! Promise: a file, a disk or a caller that is wrong is refused with its place and a remedy, leaves
//! nothing half done, and once it was mended the same command ends with a receipt.

mod changed;
mod disk;
mod files;
mod fixed;
mod journal;
mod meaning;
mod raw;

use std::{path::PathBuf, process::Stdio};

use tokio::process::Command;

use super::system::{Dev, Folder, Said};

/// The columns of the files that are written here.
const HEADER: &str = "order_id,kind,household_id,district,name,birth_date,sex,address,individual_number\n";

/// One good row.
fn row(order_id: &str) -> String {
    format!("{order_id},NOTIFICATION_CARD,H-{order_id},白鳥,葛飾 花子,1980-01-02,2,白鳥一丁目,\n")
}

/// A good file of three rows.
fn good(prefix: &str) -> String {
    let rows: String = (1..=3).map(|n| row(&format!("{prefix}-{n}"))).collect();
    format!("{HEADER}{rows}")
}

/// A system of real processes with the files of one municipality beside it.
struct Town {
    folder: Folder,
    dev: Dev,
}

impl Town {
    async fn start() -> Self {
        Self::start_with(&["--relays", "1"]).await
    }

    async fn start_with(more: &[&str]) -> Self {
        let folder = Folder::new();
        let dev = Dev::start(&folder, more).await;
        Self { folder, dev }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("the folder is writable");
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("it was there");
    }

    /// The words of a command as Katsushika ward.
    fn as_ward(&self, words: &[&str]) -> Vec<String> {
        let words = words.iter().map(|word| (*word).to_owned());
        words.chain(self.folder.as_ward()).collect()
    }

    /// Runs a command to its end and returns what a person sees of it.
    async fn run(&self, words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_todoke"));
        command.args(self.as_ward(words));
        self.said(command).await
    }

    /// The same for any program that stands around it.
    async fn said(&self, mut command: Command) -> Said {
        command.current_dir(self.path("")).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(std::time::Duration::from_secs(60), command.output()).await;
        let output = output.expect("it ends").expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The batches that the issuer knows, newest first.
    async fn batches(&self) -> Vec<serde_json::Value> {
        let said = self.run(&["status", "--output", "json"]).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        let lines = said.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        lines.filter(|value: &serde_json::Value| value["event"] == "batch").collect()
    }

    /// Imports a file that must come to a receipt, which must be of this very file.
    async fn receipted(&self, words: &[&str]) -> Said {
        let said = self.run(words).await;
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.all());
        let (file, key) = (words[1], self.path("dev/pki/receipt.pub").display().to_string());
        let mut verify = Command::new(env!("CARGO_BIN_EXE_todoke"));
        verify.args(["verify", &format!("{file}.receipt"), "--file", file, "--key", &key]);
        let verified = self.said(verify).await;
        assert_eq!(verified.code, Some(0), "{words:?}: {}", verified.all());
        said
    }

    async fn stop(mut self) {
        assert_eq!(self.dev.stop().await, Some(0));
    }
}

/// What a refusal must say, and must not.
fn assert_says(name: &str, said: &Said, code: i32, needles: &[&str]) {
    assert_eq!(said.code, Some(code), "{name}: {}", said.all());
    for needle in needles {
        assert!(said.all().contains(needle), "{name}: {:?} is not in\n{}", needle, said.all());
    }
    for personal in ["葛飾 花子", "1980-01-02", "白鳥一丁目"] {
        assert!(!said.all().contains(personal), "{name}: {personal} is in\n{}", said.all());
    }
}
