-- What a restored backup may have forgotten, and how each municipality's receipts were held against it.
PRAGMA user_version = 2;

-- Each time this file was found, or said, to be older than what was acknowledged; the highest one is in force.
CREATE TABLE restore (
    restore_id INTEGER NOT NULL PRIMARY KEY CHECK (restore_id > 0),
    marked_ms  INTEGER NOT NULL,
    cause      TEXT    NOT NULL CHECK (cause IN ('OPERATOR', 'WITNESS', 'RECEIPT')),
    note       TEXT    NOT NULL
) STRICT;

-- Whose receipts were compared since the restore in force; whoever has no row of it, or one that is not whole,
-- opens no batch, and no batch of theirs is worked off.
CREATE TABLE comparison (
    municipality_code TEXT    NOT NULL,
    restore_id        INTEGER NOT NULL,
    compared_ms       INTEGER NOT NULL,
    how               TEXT    NOT NULL CHECK (how IN ('COMPARED', 'RELEASED')),
    note              TEXT    NOT NULL, -- why it was released
    PRIMARY KEY (municipality_code, restore_id)
) STRICT, WITHOUT ROWID;

-- Batches whose receipts are ours and were not here: what was acknowledged and forgotten. The receipt is kept,
-- so that the batch, sent again, gets the same bytes.
CREATE TABLE lost_batch (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL CHECK (length(batch_id) = 16),
    sequence          INTEGER NOT NULL CHECK (sequence > 0),
    record_count      INTEGER NOT NULL CHECK (record_count >= 0),
    manifest_digest   BLOB    NOT NULL CHECK (length(manifest_digest) = 32),
    previous          BLOB    CHECK (length(previous) = 32), -- digest of the receipt before
    told_ms           INTEGER NOT NULL,
    given_up_ms       INTEGER, -- by decision of the operator
    digest            BLOB    NOT NULL CHECK (length(digest) = 32),
    receipt           BLOB    NOT NULL,
    PRIMARY KEY (municipality_code, batch_id),
    UNIQUE (municipality_code, sequence)
) STRICT;

-- How many heartbeats there were: a file that has fewer than were seen beside it is an older one.
ALTER TABLE heartbeat ADD COLUMN beats INTEGER NOT NULL DEFAULT 0;

-- What came since when, over all municipalities: the calendar of expected batches asks for it.
CREATE INDEX batch_opened ON batch (opened_ms);

-- A new batch names the receipt before by its digest.
CREATE INDEX receipt_digest ON receipt (municipality_code, digest);
