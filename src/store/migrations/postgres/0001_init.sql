-- Batches, their chunks, the card orders made of them, and how each batch ended.
--
-- Every primary key begins with municipality_code: it is the tenant, and what a distributed engine spreads by.
-- The exceptions are global, small and named in src/store/tests/schema.rs, with the reason.
--
-- The same tables and columns as SQLite's, which a test compares. Texts are ordered by their bytes, as there, and
-- whatever the locale of the machine becomes.

-- One row a batch. The counts say, at every moment, what has become of each of its records.
CREATE TABLE batch (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    sequence          BIGINT           NOT NULL CHECK (sequence > 0),
    state             TEXT COLLATE "C" NOT NULL CHECK (state IN (
        'ANNOUNCED', 'RECEIVING', 'SEALED', 'IMPORTING', 'RECONCILING', 'ACCEPTED', 'ACCEPTED_WITH_REJECTS',
        'DISCREPANT', 'REPAIRING', 'ABORTED')),
    attempt           BIGINT           NOT NULL CHECK (attempt > 0),
    record_count      BIGINT           NOT NULL CHECK (record_count >= 0),
    chunk_records     BIGINT           NOT NULL CHECK (chunk_records > 0),
    chunk_count       BIGINT           NOT NULL CHECK (chunk_count >= 0),
    manifest_digest   BYTEA            NOT NULL CHECK (length(manifest_digest) = 32),
    wrapped_key       BYTEA            NOT NULL,
    uploader_epoch    BIGINT           NOT NULL CHECK (uploader_epoch > 0),
    chunks_stored     BIGINT           NOT NULL DEFAULT 0,
    chunks_worked     BIGINT           NOT NULL DEFAULT 0,
    chunks_indexed    BIGINT           NOT NULL DEFAULT 0,
    missing           BIGINT           NOT NULL CHECK (missing >= 0),
    stored            BIGINT           NOT NULL DEFAULT 0 CHECK (stored >= 0),
    accepted          BIGINT           NOT NULL DEFAULT 0 CHECK (accepted >= 0),
    rejected          BIGINT           NOT NULL DEFAULT 0 CHECK (rejected >= 0),
    duplicate         BIGINT           NOT NULL DEFAULT 0 CHECK (duplicate >= 0),
    quarantined       BIGINT           NOT NULL DEFAULT 0 CHECK (quarantined >= 0),
    opened_ms         BIGINT           NOT NULL,
    progress_ms       BIGINT           NOT NULL,
    seal_by_ms        BIGINT           NOT NULL,
    sealed_ms         BIGINT,
    finished_ms       BIGINT,
    conflict_ms       BIGINT,
    discrepancy       TEXT COLLATE "C",
    PRIMARY KEY (municipality_code, batch_id),
    UNIQUE (municipality_code, sequence),
    CONSTRAINT chunks_stored_fit CHECK (chunks_stored BETWEEN 0 AND chunk_count),
    CONSTRAINT chunks_worked_fit CHECK (chunks_worked BETWEEN 0 AND chunk_count),
    CONSTRAINT chunks_indexed_fit CHECK (chunks_indexed BETWEEN 0 AND chunks_worked),
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
) WITH (fillfactor = 50); -- it is changed with each chunk, and a change that stays in its page costs no index
-- What the sweeper looks at again and again.
CREATE INDEX batch_open ON batch (municipality_code, batch_id)
    WHERE state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED');

-- What the sender signed, as the exact bytes that came.
CREATE TABLE manifest (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    signature         BYTEA            NOT NULL,
    certificate_chain BYTEA            NOT NULL, -- each certificate after its length in four bytes, big-endian
    manifest          BYTEA            NOT NULL,
    chunk_roots       BYTEA            NOT NULL CHECK (length(chunk_roots) % 32 = 0),
    PRIMARY KEY (municipality_code, batch_id),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
);

-- The ledger of what is durable, with the sealed records. The payload is last, so that the rest is read alone.
CREATE TABLE chunk (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    chunk_number      BIGINT           NOT NULL CHECK (chunk_number >= 0),
    root              BYTEA            NOT NULL CHECK (length(root) = 32),
    record_count      BIGINT           NOT NULL CHECK (record_count > 0),
    uploader_epoch    BIGINT           NOT NULL,
    relay             TEXT COLLATE "C" NOT NULL, -- empty: it came without one
    stored_ms         BIGINT           NOT NULL,
    sealed            BYTEA            NOT NULL,
    PRIMARY KEY (municipality_code, batch_id, chunk_number),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
);

ALTER TABLE chunk ALTER COLUMN sealed SET STORAGE EXTERNAL; -- what is sealed cannot be compressed

-- Records stored so far of each district.
CREATE TABLE batch_district (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    district          TEXT COLLATE "C" NOT NULL,
    stored_records    BIGINT           NOT NULL CHECK (stored_records > 0),
    PRIMARY KEY (municipality_code, batch_id, district),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
);

-- Chunks that came with other content than announced: a human must look.
CREATE TABLE chunk_conflict (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    chunk_number      BIGINT           NOT NULL,
    first_ms          BIGINT           NOT NULL,
    last_ms           BIGINT           NOT NULL,
    times             BIGINT           NOT NULL CHECK (times > 0),
    PRIMARY KEY (municipality_code, batch_id, chunk_number),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
);

-- One row while a batch has work to be done. Whoever holds it has the highest epoch of its attempt.
CREATE TABLE work (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    attempt           BIGINT           NOT NULL,
    epoch             BIGINT           NOT NULL DEFAULT 0,
    holder            TEXT COLLATE "C", -- NULL: nobody has it
    due_ms            BIGINT           NOT NULL, -- not to be claimed before: the end of the lease, or of a wait
    tries             BIGINT           NOT NULL DEFAULT 0, -- claims since it last moved
    note              TEXT COLLATE "C", -- why it was last given back
    PRIMARY KEY (municipality_code, batch_id),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
);
CREATE INDEX work_due ON work (due_ms);

-- Who holds an order id. A holder counts while its batch is not aborted and still in that attempt; otherwise
-- the id is free and the next batch takes the row over.
-- No foreign key here nor in card_order: both are written only in a transaction that has read the batch, and
-- the look-up for each of a million rows is worth saving.
CREATE TABLE order_key (
    municipality_code TEXT COLLATE "C" NOT NULL,
    order_id          TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    attempt           BIGINT           NOT NULL,
    record_index      BIGINT           NOT NULL,
    PRIMARY KEY (municipality_code, order_id)
);

-- One card order. Seen by others once its batch is accepted in this attempt.
CREATE TABLE card_order (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    attempt           BIGINT           NOT NULL,
    record_index      BIGINT           NOT NULL,
    order_id          TEXT COLLATE "C" NOT NULL,
    leaf              BYTEA            NOT NULL CHECK (length(leaf) = 32),
    kind              TEXT COLLATE "C" NOT NULL,
    district          TEXT COLLATE "C" NOT NULL,
    person_index      BYTEA,
    protected         BOOLEAN          NOT NULL,
    accommodations    TEXT COLLATE "C" NOT NULL,
    ordered_ms        BIGINT           NOT NULL,
    sealed            BYTEA            NOT NULL,
    PRIMARY KEY (municipality_code, batch_id, attempt, record_index)
);

ALTER TABLE card_order ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- Finds orders by person: eight bytes of the blind index tell one person from all of a country. Not an index of
-- card_order, because in this random order each row would touch a page of its own: rows are added sorted, many
-- chunks together, and always before their batch can be accepted.
CREATE TABLE card_person (
    municipality_code TEXT COLLATE "C" NOT NULL,
    person_key        BYTEA            NOT NULL CHECK (length(person_key) = 8),
    sequence          BIGINT           NOT NULL, -- of the batch; shorter than its id
    attempt           BIGINT           NOT NULL,
    record_index      BIGINT           NOT NULL,
    PRIMARY KEY (municipality_code, person_key, sequence, attempt, record_index)
);

-- What became of the records that are no orders, attempt by attempt.
CREATE TABLE disposition (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    attempt           BIGINT           NOT NULL,
    record_index      BIGINT           NOT NULL,
    order_id          TEXT COLLATE "C" NOT NULL,
    kind              TEXT COLLATE "C" NOT NULL CHECK (kind IN ('REJECTED', 'DUPLICATE', 'QUARANTINED')),
    code              TEXT COLLATE "C",
    field             TEXT COLLATE "C",
    other_batch_id    UUID,
    other_index       BIGINT,
    PRIMARY KEY (municipality_code, batch_id, attempt, record_index),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id),
    CHECK ((other_batch_id IS NULL) = (other_index IS NULL))
);

-- The receipt of an accepted batch: the same bytes for ever.
CREATE TABLE receipt (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    sequence          BIGINT           NOT NULL,
    attempt           BIGINT           NOT NULL,
    digest            BYTEA            NOT NULL CHECK (length(digest) = 32),
    receipt           BYTEA            NOT NULL,
    PRIMARY KEY (municipality_code, batch_id),
    UNIQUE (municipality_code, sequence),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
);

-- The signed statement that gave a batch up.
CREATE TABLE abort_statement (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    aborted_ms        BIGINT           NOT NULL,
    reason            TEXT COLLATE "C" NOT NULL,
    signature         BYTEA            NOT NULL,
    statement         BYTEA            NOT NULL,
    PRIMARY KEY (municipality_code, batch_id),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
);

-- Requests for a repair, so that the same one sent again is one attempt.
CREATE TABLE repair_request (
    municipality_code TEXT COLLATE "C" NOT NULL,
    request_id        TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    attempt           BIGINT           NOT NULL, -- the one it began
    fingerprint       BYTEA            NOT NULL CHECK (length(fingerprint) = 32),
    requested_ms      BIGINT           NOT NULL,
    PRIMARY KEY (municipality_code, request_id),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
);

-- When a task of the whole system last said that it lives.
CREATE TABLE heartbeat (
    name    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    beat_ms BIGINT           NOT NULL
);
