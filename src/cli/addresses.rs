//! A process says where it listens by a file that is there whole or not at all.

use std::{io, net::SocketAddr, path::Path};

use crate::client::receipts::write_whole;

/// Writes where this process listens.
///
/// # Errors
/// What the file system says.
pub(crate) fn write(
    file: &Path,
    address: SocketAddr,
    ops: SocketAddr,
    ads: Option<SocketAddr>,
) -> io::Result<()> {
    let mut json = serde_json::json!({
        "address": address.to_string(),
        "ops": ops.to_string(),
        "pid": std::process::id(),
    });
    if let Some(ads) = ads {
        json["ads"] = ads.to_string().into();
    }
    write_whole(file, json.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_takes_the_place_of_the_old_one_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("relay-1.json");
        std::fs::write(&file, "of the last run").expect("written");
        let address = "127.0.0.1:40101".parse().expect("an address");
        let [ops, ads] = [40201, 40303].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        write(&file, address, ops, Some(ads)).expect("written");
        let read: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).expect("there")).expect("JSON");
        assert_eq!(read["address"], "127.0.0.1:40101");
        assert_eq!(read["ops"], "127.0.0.1:40201");
        assert_eq!(read["ads"], "127.0.0.1:40303");
        assert_eq!(read["pid"], std::process::id());
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }
}
