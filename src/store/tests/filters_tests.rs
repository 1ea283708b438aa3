//! Promise: what leaves the municipality out is found, in whatever form, and nothing else.

use super::loose;

fn found(text: &str) -> String {
    let found = loose(text, &["batch", "work", "chunk"]).into_iter();
    let named = found.map(|one| format!("{}{}", one.table, if one.writes { "!" } else { "" }));
    named.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_text_that_leaves_the_municipality_out_is_found() {
    let batch = "SELECT 1 FROM batch AS b JOIN work AS w ON w.municipality_code = b.municipality_code";
    for (text, loose) in [
        ("SELECT 1 FROM batch WHERE municipality_code = $1", ""),
        ("SELECT 1 FROM batch WHERE batch_id = $1", "batch"),
        ("SELECT 1 FROM batch WHERE municipality_code = $1 OR batch_id = $2", "batch"),
        ("SELECT 1 FROM batch WHERE NOT (municipality_code = $1)", "batch"),
        ("SELECT 1 FROM batch WHERE municipality_code > $1", "batch"),
        ("SELECT municipality_code = $1 AS own FROM batch", "batch"),
        ("SELECT 1 FROM heartbeat", ""),
        (&format!("{batch} WHERE b.municipality_code = $1"), ""),
        (&format!("{batch} WHERE b.batch_id = $1"), "batch work"),
        (
            "SELECT 1 FROM batch AS b LEFT JOIN work AS w ON w.municipality_code = b.municipality_code
            WHERE b.municipality_code = $1",
            "",
        ),
        (
            "SELECT 1 FROM batch AS b LEFT JOIN work AS w ON w.municipality_code = $1
            AND b.municipality_code = w.municipality_code",
            "batch",
        ),
        (
            "SELECT 1 FROM batch AS b WHERE NOT EXISTS (SELECT 1 FROM work AS w WHERE w.municipality_code = $1
            AND b.municipality_code = w.municipality_code)",
            "batch",
        ),
        (
            "SELECT EXISTS (SELECT 1 FROM work AS w WHERE w.municipality_code = b.municipality_code) AS has
            FROM batch AS b WHERE b.municipality_code = $1",
            "",
        ),
        ("SELECT 1 FROM batch WHERE municipality_code = $1 UNION SELECT 1 FROM batch", "batch"),
        ("SELECT 1 FROM batch AS b, work AS w WHERE b.municipality_code = $1", "work"),
        ("SELECT 1 FROM batch WHERE state = 'municipality_code = $1'", "batch"),
        (
            "SELECT 1 FROM UNNEST($1::text[]) AS v (municipality_code) JOIN batch AS b
            ON b.municipality_code = v.municipality_code",
            "",
        ),
        ("SELECT 1 FROM UNNEST($1::text[]) AS v (id) JOIN batch AS b ON b.municipality_code = v.id", "batch"),
    ] {
        assert_eq!(found(text), loose, "{text}");
    }
}

#[test]
fn rows_of_an_array_say_which_municipality_they_are_of_if_that_is_their_first_column() {
    for (text, loose) in [
        (
            "WITH v (municipality_code, id) AS (SELECT value ->> 0, value ->> 1 FROM json_each($1))
            SELECT 1 FROM v CROSS JOIN batch AS b
            ON b.municipality_code = v.municipality_code AND b.id = v.id",
            "",
        ),
        (
            "WITH v (municipality_code, id) AS (SELECT value ->> 0, value ->> 1 FROM json_each($1))
            SELECT 1 FROM v CROSS JOIN batch AS b ON b.id = v.id",
            "batch",
        ),
        (
            "WITH v (id, municipality_code) AS (SELECT value ->> 0, value ->> 1 FROM json_each($1))
            SELECT 1 FROM v CROSS JOIN batch AS b ON b.municipality_code = v.municipality_code",
            "batch",
        ),
        (
            "WITH v (municipality_code) AS (SELECT municipality_code FROM work)
            SELECT 1 FROM v CROSS JOIN batch AS b ON b.municipality_code = v.municipality_code",
            "batch work",
        ),
    ] {
        assert_eq!(found(text), loose, "{text}");
    }
}

#[test]
fn a_text_that_writes_or_locks_without_the_municipality_is_found() {
    for (text, loose) in [
        ("SELECT 1 FROM work WHERE due_ms < $1 FOR UPDATE SKIP LOCKED", "work!"),
        ("UPDATE work SET due_ms = $1 WHERE due_ms > $1", "work!"),
        ("UPDATE work SET due_ms = $2 WHERE municipality_code = $1", ""),
        ("DELETE FROM chunk WHERE batch_id = $1", "chunk!"),
        ("INSERT INTO work (municipality_code, attempt) VALUES ($1, 1)", ""),
        ("INSERT INTO work (attempt, municipality_code) VALUES (1, $1)", "work!"),
        ("INSERT INTO work (municipality_code) SELECT municipality_code FROM batch", "batch work!"),
        (
            "INSERT INTO work (municipality_code) SELECT municipality_code FROM batch
            WHERE municipality_code = $1 ON CONFLICT (municipality_code) DO UPDATE SET attempt = 1",
            "",
        ),
        ("INSERT INTO work (municipality_code) SELECT c.code FROM (SELECT ? AS code) AS c", ""),
        ("INSERT INTO work (municipality_code) SELECT 'all'", "work!"),
        (
            "INSERT INTO work (municipality_code) SELECT v.municipality_code
            FROM UNNEST($1::text[]) AS v (municipality_code)",
            "",
        ),
        ("INSERT INTO work (municipality_code) SELECT v.id FROM UNNEST($1::text[]) AS v (id)", "work!"),
        (
            "WITH v (municipality_code, id) AS (SELECT value ->> 0, value ->> 1 FROM json_each($1))
            INSERT INTO work (municipality_code) SELECT v.municipality_code FROM v WHERE true",
            "",
        ),
        (
            "WITH v (municipality_code, id) AS (SELECT value ->> 0, value ->> 1 FROM json_each($1))
            INSERT INTO work (municipality_code) SELECT v.id FROM v WHERE true",
            "work!",
        ),
        (
            "DELETE FROM work AS w USING UNNEST($1::text[]) AS v (municipality_code) WHERE w.id = v.id",
            "work!",
        ),
    ] {
        assert_eq!(found(text), loose, "{text}");
    }
}
