-- Batches, their chunks, the card orders made of them, and how each batch ended.
--
-- Every primary key begins with municipality_code: it is the tenant, and what a distributed engine spreads by.
-- The exceptions are global, small and named in src/store/tests/schema.rs, with the reason.
PRAGMA application_id = 1953457259; -- 'todk': other files are refused
PRAGMA user_version = 1;            -- the number of this migration: older programs refuse the file

-- One row a batch. The counts say, at every moment, what has become of each of its records.
CREATE TABLE batch (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL CHECK (length(batch_id) = 16),
    sequence          INTEGER NOT NULL CHECK (sequence > 0),
    state             TEXT    NOT NULL CHECK (state IN (
        'ANNOUNCED', 'RECEIVING', 'SEALED', 'IMPORTING', 'RECONCILING', 'ACCEPTED', 'ACCEPTED_WITH_REJECTS',
        'DISCREPANT', 'REPAIRING', 'ABORTED')),
    attempt           INTEGER NOT NULL CHECK (attempt > 0),
    record_count      INTEGER NOT NULL CHECK (record_count >= 0),
    chunk_records     INTEGER NOT NULL CHECK (chunk_records > 0),
    chunk_count       INTEGER NOT NULL CHECK (chunk_count >= 0),
    manifest_digest   BLOB    NOT NULL CHECK (length(manifest_digest) = 32),
    wrapped_key       BLOB    NOT NULL,
    uploader_epoch    INTEGER NOT NULL CHECK (uploader_epoch > 0),
    chunks_stored     INTEGER NOT NULL DEFAULT 0 CHECK (chunks_stored BETWEEN 0 AND chunk_count),
    chunks_worked     INTEGER NOT NULL DEFAULT 0 CHECK (chunks_worked BETWEEN 0 AND chunk_count),
    chunks_indexed    INTEGER NOT NULL DEFAULT 0 CHECK (chunks_indexed BETWEEN 0 AND chunks_worked),
    missing           INTEGER NOT NULL CHECK (missing >= 0),
    stored            INTEGER NOT NULL DEFAULT 0 CHECK (stored >= 0),
    accepted          INTEGER NOT NULL DEFAULT 0 CHECK (accepted >= 0),
    rejected          INTEGER NOT NULL DEFAULT 0 CHECK (rejected >= 0),
    duplicate         INTEGER NOT NULL DEFAULT 0 CHECK (duplicate >= 0),
    quarantined       INTEGER NOT NULL DEFAULT 0 CHECK (quarantined >= 0),
    opened_ms         INTEGER NOT NULL,
    progress_ms       INTEGER NOT NULL,
    seal_by_ms        INTEGER NOT NULL,
    sealed_ms         INTEGER,
    finished_ms       INTEGER,
    conflict_ms       INTEGER,
    discrepancy       TEXT,
    PRIMARY KEY (municipality_code, batch_id),
    UNIQUE (municipality_code, sequence),
    CONSTRAINT every_record_is_counted_once
        CHECK (missing + stored + accepted + rejected + duplicate + quarantined = record_count),
    CONSTRAINT only_a_whole_batch_is_sealed
        CHECK (missing = 0 OR state IN ('ANNOUNCED', 'RECEIVING', 'ABORTED')),
    CONSTRAINT only_a_decided_batch_is_accepted
        CHECK (stored = 0 OR state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS')),
    CONSTRAINT only_what_can_be_found_is_accepted
        CHECK (chunks_indexed = chunk_count OR state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS')),
    CONSTRAINT an_end_has_its_time -- and keeps it through a repair
        CHECK (finished_ms IS NOT NULL
            OR state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'DISCREPANT', 'ABORTED'))
) STRICT;
-- What the sweeper looks at again and again.
CREATE INDEX batch_open ON batch (municipality_code, batch_id)
    WHERE state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED');

-- What the sender signed, as the exact bytes that came.
CREATE TABLE manifest (
    municipality_code TEXT NOT NULL,
    batch_id          BLOB NOT NULL,
    signature         BLOB NOT NULL,
    certificate_chain BLOB NOT NULL, -- each certificate after its length in four bytes, big-endian
    manifest          BLOB NOT NULL,
    chunk_roots       BLOB NOT NULL CHECK (length(chunk_roots) % 32 = 0),
    PRIMARY KEY (municipality_code, batch_id),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
) STRICT;

-- The ledger of what is durable, with the sealed records. The payload is last, so that the rest is read alone.
CREATE TABLE chunk (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    chunk_number      INTEGER NOT NULL CHECK (chunk_number >= 0),
    root              BLOB    NOT NULL CHECK (length(root) = 32),
    record_count      INTEGER NOT NULL CHECK (record_count > 0),
    uploader_epoch    INTEGER NOT NULL,
    relay             TEXT    NOT NULL, -- empty: it came without one
    stored_ms         INTEGER NOT NULL,
    sealed            BLOB    NOT NULL,
    PRIMARY KEY (municipality_code, batch_id, chunk_number),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
) STRICT;

-- Records stored so far of each district.
CREATE TABLE batch_district (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    district          TEXT    NOT NULL,
    stored_records    INTEGER NOT NULL CHECK (stored_records > 0),
    PRIMARY KEY (municipality_code, batch_id, district),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
) STRICT, WITHOUT ROWID;

-- Chunks that came with other content than announced: a human must look.
CREATE TABLE chunk_conflict (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    chunk_number      INTEGER NOT NULL,
    first_ms          INTEGER NOT NULL,
    last_ms           INTEGER NOT NULL,
    times             INTEGER NOT NULL CHECK (times > 0),
    PRIMARY KEY (municipality_code, batch_id, chunk_number),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
) STRICT, WITHOUT ROWID;

-- One row while a batch has work to be done. Whoever holds it has the highest epoch of its attempt.
CREATE TABLE work (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    attempt           INTEGER NOT NULL,
    epoch             INTEGER NOT NULL DEFAULT 0,
    holder            TEXT,             -- NULL: nobody has it
    due_ms            INTEGER NOT NULL, -- not to be claimed before: the end of the lease, or of a wait
    tries             INTEGER NOT NULL DEFAULT 0, -- claims since it last moved
    note              TEXT,             -- why it was last given back
    PRIMARY KEY (municipality_code, batch_id),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX work_due ON work (due_ms);

-- Who holds an order id. A holder counts while its batch is not aborted and still in that attempt; otherwise
-- the id is free and the next batch takes the row over.
-- No foreign key here nor in card_order: both are written only in a transaction that has read the batch, and
-- the look-up for each of a million rows is worth saving.
CREATE TABLE order_key (
    municipality_code TEXT    NOT NULL,
    order_id          TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    attempt           INTEGER NOT NULL,
    record_index      INTEGER NOT NULL,
    PRIMARY KEY (municipality_code, order_id)
) STRICT, WITHOUT ROWID;

-- One card order. Seen by others once its batch is accepted in this attempt.
CREATE TABLE card_order (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    attempt           INTEGER NOT NULL,
    record_index      INTEGER NOT NULL,
    order_id          TEXT    NOT NULL,
    leaf              BLOB    NOT NULL CHECK (length(leaf) = 32),
    kind              TEXT    NOT NULL,
    district          TEXT    NOT NULL,
    person_index      BLOB,
    protected         INTEGER NOT NULL CHECK (protected IN (0, 1)),
    accommodations    TEXT    NOT NULL,
    ordered_ms        INTEGER NOT NULL,
    sealed            BLOB    NOT NULL,
    PRIMARY KEY (municipality_code, batch_id, attempt, record_index)
) STRICT;

-- Finds orders by person: eight bytes of the blind index tell one person from all of a country. Not an index of
-- card_order, because in this random order each row would touch a page of its own: rows are added sorted, many
-- chunks together, and always before their batch can be accepted.
CREATE TABLE card_person (
    municipality_code TEXT    NOT NULL,
    person_key        BLOB    NOT NULL CHECK (length(person_key) = 8),
    sequence          INTEGER NOT NULL, -- of the batch; shorter than its id
    attempt           INTEGER NOT NULL,
    record_index      INTEGER NOT NULL,
    PRIMARY KEY (municipality_code, person_key, sequence, attempt, record_index)
) STRICT, WITHOUT ROWID;

-- What became of the records that are no orders, attempt by attempt.
CREATE TABLE disposition (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    attempt           INTEGER NOT NULL,
    record_index      INTEGER NOT NULL,
    order_id          TEXT    NOT NULL,
    kind              TEXT    NOT NULL CHECK (kind IN ('REJECTED', 'DUPLICATE', 'QUARANTINED')),
    code              TEXT,
    field             TEXT,
    other_batch_id    BLOB    CHECK (length(other_batch_id) = 16),
    other_index       INTEGER,
    PRIMARY KEY (municipality_code, batch_id, attempt, record_index),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id),
    CHECK ((other_batch_id IS NULL) = (other_index IS NULL))
) STRICT, WITHOUT ROWID;

-- The receipt of an accepted batch: the same bytes for ever.
CREATE TABLE receipt (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    sequence          INTEGER NOT NULL,
    attempt           INTEGER NOT NULL,
    digest            BLOB    NOT NULL CHECK (length(digest) = 32),
    receipt           BLOB    NOT NULL,
    PRIMARY KEY (municipality_code, batch_id),
    UNIQUE (municipality_code, sequence),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
) STRICT;

-- The signed statement that gave a batch up.
CREATE TABLE abort_statement (
    municipality_code TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    aborted_ms        INTEGER NOT NULL,
    reason            TEXT    NOT NULL,
    signature         BLOB    NOT NULL,
    statement         BLOB    NOT NULL,
    PRIMARY KEY (municipality_code, batch_id),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
) STRICT;

-- Requests for a repair, so that the same one sent again is one attempt.
CREATE TABLE repair_request (
    municipality_code TEXT    NOT NULL,
    request_id        TEXT    NOT NULL,
    batch_id          BLOB    NOT NULL,
    attempt           INTEGER NOT NULL, -- the one it began
    fingerprint       BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    requested_ms      INTEGER NOT NULL,
    PRIMARY KEY (municipality_code, request_id),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
) STRICT, WITHOUT ROWID;

-- When a task of the whole system last said that it lives.
CREATE TABLE heartbeat (
    name    TEXT    NOT NULL PRIMARY KEY,
    beat_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
