-- What was found damaged is kept apart, and secrets that are wrapped as data keys are.

-- When a part of the batch was first found damaged in the database.
ALTER TABLE batch ADD COLUMN damaged_ms BIGINT;

-- The bytes of what was damaged, exactly as they were found, and what was done about it. Rows are only added:
-- whatever is put in place of something damaged leaves its line here.
CREATE TABLE quarantine (
    municipality_code TEXT COLLATE "C" NOT NULL,
    batch_id          UUID             NOT NULL,
    kind              TEXT COLLATE "C" NOT NULL CHECK (kind IN ('CHUNK', 'ORDER', 'MANIFEST', 'RECEIPT')),
    attempt           BIGINT           NOT NULL, -- the one that the batch was at
    place             BIGINT           NOT NULL CHECK (place >= 0), -- the chunk's number or the record's index
    found_ms          BIGINT           NOT NULL,
    action            TEXT COLLATE "C" NOT NULL,
    content           BYTEA            NOT NULL, -- empty if there was nothing left
    PRIMARY KEY (municipality_code, batch_id, kind, attempt, place, found_ms),
    FOREIGN KEY (municipality_code, batch_id) REFERENCES batch (municipality_code, batch_id)
);

-- Secrets of the whole issuer that are stored wrapped by the key-encryption key.
CREATE TABLE wrapped_secret (
    name    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    wrapped BYTEA            NOT NULL
);
