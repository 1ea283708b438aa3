-- What a restored backup may have forgotten, and how each municipality's receipts were held against it.

-- Each time this database was found, or said, to be older than what was acknowledged; the highest one is in force.
CREATE TABLE restore (
    restore_id BIGINT           NOT NULL PRIMARY KEY CHECK (restore_id > 0),
    marked_ms  BIGINT           NOT NULL,
    cause      TEXT COLLATE "C" NOT NULL CHECK (cause IN ('OPERATOR', 'WITNESS', 'RECEIPT')),
    note       TEXT COLLATE "C" NOT NULL
);

-- Whose receipts were compared since the restore in force; whoever has no row of it, or one that is not whole,
-- opens no batch, and no batch of theirs is worked off.
CREATE TABLE comparison (
    municipality_code TEXT COLLATE "C" NOT NULL,
    restore_id        BIGINT           NOT NULL,
    compared_ms       BIGINT           NOT NULL,
    how               TEXT COLLATE "C" NOT NULL CHECK (how IN ('COMPARED', 'RELEASED')),
    note              TEXT COLLATE "C" NOT NULL, -- why it was released
    PRIMARY KEY (municipality_code, restore_id)
);

-- Batches whose receipts are ours and were not here: what was acknowledged and forgotten. The receipt is kept,
-- so that the batch, sent again, gets the same bytes.
CREATE TABLE lost_batch (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    sequence          BIGINT           NOT NULL CHECK (sequence > 0),
    record_count      BIGINT           NOT NULL CHECK (record_count >= 0),
    manifest_digest   BYTEA            NOT NULL CHECK (length(manifest_digest) = 32),
    previous          BYTEA            CHECK (length(previous) = 32), -- digest of the receipt before
    told_ms           BIGINT           NOT NULL,
    given_up_ms       BIGINT, -- by decision of the operator
    digest            BYTEA            NOT NULL CHECK (length(digest) = 32),
    receipt           BYTEA            NOT NULL,
    PRIMARY KEY (municipality_code, batch_id),
    UNIQUE (municipality_code, sequence)
);

-- How many heartbeats there were. Nothing stands beside this database that could tell of more.
ALTER TABLE heartbeat ADD COLUMN beats BIGINT NOT NULL DEFAULT 0;

-- What came since when, over all municipalities: the calendar of expected batches asks for it.
CREATE INDEX batch_opened ON batch (opened_ms);

-- A new batch names the receipt before by its digest.
CREATE INDEX receipt_digest ON receipt (municipality_code, digest);
