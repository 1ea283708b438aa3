//! Asks a process's ops port over plain HTTP, with a limit on time and on bytes.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Returns the status code and the body of `GET path`.
///
/// # Errors
/// The system's error, [`io::ErrorKind::TimedOut`], or [`io::ErrorKind::InvalidData`] for what is not HTTP.
pub(crate) async fn get(ops: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    timeout(ANSWER_TIME, ask(ops, path)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

// HTTP/1.0, so that the answer ends with the connection and is never in chunks.
async fn ask(ops: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(ops).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {ops}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    parse(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// Returns the sum of a metric's samples whose labels hold each of `labels`, such as `flag="stalled"`; 0
/// if there is none, as a counter that never counted is not there.
pub(crate) fn sum(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let ours = samples.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (of, set) = series.split_once('{').unwrap_or((series, ""));
        let all = of == name && labels.iter().all(|label| set.contains(label));
        all.then(|| value.parse::<f64>().ok())?
    });
    ours.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_or_refused() {
        let answer = b"HTTP/1.0 503 Service Unavailable\r\nx: y\r\n\r\nno upstream\n";
        assert_eq!(parse(answer), Some((503, "no upstream\n".to_owned())));
        assert_eq!(parse(b"SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn samples_are_added_up_by_name_and_labels() {
        let text = "# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\na_total{x=\"1\"} 9\nb 0.5\n";
        assert!((sum(text, "a", &["x=\"1\""]) - 7.0).abs() < 1e-9);
        assert!((sum(text, "a", &["x=\"1\"", "y=\"3\""]) - 4.0).abs() < 1e-9);
        assert!((sum(text, "b", &[]) - 0.5).abs() < 1e-9);
        assert!(sum(text, "c", &[]).abs() < 1e-9);
    }
}
