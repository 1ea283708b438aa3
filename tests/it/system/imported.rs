//! A system into which a file of the ward's records was imported, and the commands of one kind that anybody
//! gives it.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::{Dev, Folder, Said};

/// The file that was imported.
const FILE: &str = "cards.csv";

/// A system with an accepted batch of the ward.
pub(crate) struct Imported {
    pub(crate) folder: Folder,
    pub(crate) dev: Dev,
    /// The ids of the batch's orders, sorted.
    pub(crate) orders: Vec<String>,
    /// What its commands begin with, such as `mail`.
    command: &'static str,
}

impl Imported {
    /// Starts one whose commands are those of `todoke command …`.
    pub(crate) async fn start(command: &'static str) -> Self {
        Self::start_with(command, |text| text).await
    }

    /// The same with a file that is changed before it is imported.
    pub(crate) async fn start_with(command: &'static str, change: impl FnOnce(String) -> String) -> Self {
        let folder = Folder::new();
        folder.sample(FILE, "20").await;
        let text = String::from_utf8(folder.read(FILE)).expect("UTF-8");
        std::fs::write(folder.path(FILE), change(text)).expect("the folder is writable");
        let dev = Dev::with(&folder, FILE).await;
        let orders = folder.order_ids(FILE);
        Self { folder, dev, orders, command }
    }

    fn caller(&self, who: &str) -> [String; 4] {
        let [endpoints, file, of, _] = self.folder.as_ward();
        [endpoints, file, of, who.to_owned()]
    }

    /// What a command says to programs.
    pub(crate) async fn said(&self, who: &str, words: &[&str], more: &[&str]) -> Said {
        self.folder.todoke(&[&[self.command], words, more].concat(), &self.caller(who)).await
    }

    /// The result of what is done.
    pub(crate) async fn done(&self, who: &str, words: &[&str], more: &[&str]) -> Value {
        let said = self.said(who, words, more).await;
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.all());
        said.result()
    }

    /// Fails unless it is refused with these words, and returns all that it is refused with.
    pub(crate) async fn refused(&self, who: &str, (words, more): (&[&str], &[&str]), reason: &str) -> String {
        let said = self.said(who, words, more).await;
        let error = said.result()["error"].as_str().unwrap_or_default().to_owned();
        assert!(said.code == Some(1) && error.contains(reason), "{words:?}: {}", said.all());
        error
    }

    /// What people see of a command, and what is piped into it.
    pub(crate) async fn piped(&self, who: &str, words: &[&str], input: &str) -> Said {
        let mut command = self.folder.command(&[self.command]);
        command.args(words).args(self.caller(who));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("it was asked for");
        // Who does not read it may be gone already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Dev {
    /// Starts one with two relays, and imports a file of the ward.
    async fn with(folder: &Folder, file: &str) -> Self {
        let dev = Self::start(folder, &["--relays", "2"]).await;
        let said = folder.todoke(&["import", file], &folder.as_ward()).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        dev
    }
}
