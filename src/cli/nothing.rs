//! The nil return: a file of no records, one for each day in Japan. Saying "nothing today" twice is one
//! batch, unless another one is due by then; saying it tomorrow is another.

use std::{fs, io, path::PathBuf};

use crate::{client::error::Error, domain::date::Date};

/// What such a file holds: the header that every record file may have.
const HEADER: &str = "order_id,kind,household_id,district,name,birth_date,sex,address\n";

/// Writes the file unless it is there, and returns its name.
///
/// # Errors
/// [`Error::Usage`] if another file has that name, [`Error::Write`].
pub(crate) fn write(told: Option<PathBuf>, now_ms: i64) -> Result<PathBuf, Error> {
    let day = Date::in_japan(now_ms);
    let path = told.unwrap_or_else(|| PathBuf::from(format!("nothing-{day}.csv")));
    match fs::read_to_string(&path) {
        Ok(text) if text == HEADER => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::write(&path, HEADER) {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::Write { path, source }),
        },
        Ok(_) | Err(_) => Err(Error::Usage(format!(
            "{} is there and is not what --nothing-today writes: import it without, or name another file",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over_anything() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nothing.csv");
        for _ in 0..2 {
            assert_eq!(write(Some(path.clone()), 0).expect("written, or there"), path);
        }
        fs::write(&path, "order_id\nK-1\n").expect("it is written");
        let refused = write(Some(path.clone()), 0).expect_err("it has records").to_string();
        assert!(refused.contains("import it without"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "order_id\nK-1\n");
    }
}
