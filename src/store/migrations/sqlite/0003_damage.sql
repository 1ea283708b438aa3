-- What was found damaged is kept apart, and secrets that are wrapped as data keys are.
PRAGMA user_version = 3; -- the number of this migration: older programs refuse the file

-- When a part of the batch was first found damaged in the database.
ALTER TABLE batch ADD COLUMN damaged_ms INTEGER;

-- The bytes of what was damaged, exactly as they were found, and what was done about it. Rows are only added:
-- whatever is put in place of something damaged leaves its line here.
CREATE TABLE quarantine (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    kind              TEXT    NOT NULL CHECK (kind IN ('CHUNK', 'ORDER', 'MANIFEST', 'RECEIPT')),
    attempt           INTEGER NOT NULL, -- the one that the batch was at
    place             INTEGER NOT NULL CHECK (place >= 0), -- the chunk's number or the record's index
    found_ms          INTEGER NOT NULL,
    action            TEXT    NOT NULL,
    content           BLOB    NOT NULL, -- empty if there was nothing left
    PRIMARY KEY (municipality_code, batch_id, kind, attempt, place, found_ms),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
) STRICT;

-- Secrets of the whole issuer that are stored wrapped by the key-encryption key.
CREATE TABLE wrapped_secret (
    name    TEXT NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;
