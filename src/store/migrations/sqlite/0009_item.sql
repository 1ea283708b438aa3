-- What has a life of its own: envelopes, stocktakes, applications and cards. How each stands, everything that happened to it,
-- and which request it was that did it.
PRAGMA user_version = 9;

-- One row an item. It follows from the history, and can be made of it again.
CREATE TABLE item (
    municipality_code TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    item_id           TEXT    NOT NULL CHECK (length(item_id) BETWEEN 1 AND 64),
    state             TEXT    NOT NULL,
    since_ms          INTEGER NOT NULL, -- when it came into this state, by whoever did it
    events            INTEGER NOT NULL CHECK (events > 0), -- how many rows of history it has
    office            TEXT    NOT NULL, -- of the municipality, which it is at; empty: none
    cards             INTEGER NOT NULL CHECK (cards >= 0), -- in an envelope; else 1
    details           TEXT    NOT NULL, -- what else there is to say, as its own JSON; no personal data
    PRIMARY KEY (municipality_code, kind, item_id)
) STRICT, WITHOUT ROWID;
-- What stands where, and since when.
CREATE INDEX item_state ON item (municipality_code, kind, state, since_ms, item_id);

-- Everything that happened, in the order in which it was recorded: rows are only ever added.
CREATE TABLE history (
    municipality_code TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    item_id           TEXT    NOT NULL,
    position          INTEGER NOT NULL CHECK (position > 0),
    occurred_ms       INTEGER NOT NULL, -- when it happened, as its sender says
    recorded_ms       INTEGER NOT NULL,
    actor             TEXT    NOT NULL, -- the role and name of its certificate
    request_id        TEXT    NOT NULL,
    event             TEXT    NOT NULL, -- as its own JSON; no personal data
    PRIMARY KEY (municipality_code, kind, item_id, position)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER history_kept BEFORE DELETE ON history
BEGIN
    SELECT RAISE(ABORT, 'what happened is only ever added to');
END;

CREATE TRIGGER history_fixed BEFORE UPDATE ON history
BEGIN
    SELECT RAISE(ABORT, 'what happened is only ever added to');
END;

-- Requests that were carried out, so that the same one sent again does nothing more.
CREATE TABLE request (
    municipality_code TEXT    NOT NULL,
    actor             TEXT    NOT NULL, -- whose id it is
    request_id        TEXT    NOT NULL,
    fingerprint       BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    kind              TEXT    NOT NULL,
    item_id           TEXT    NOT NULL,
    position          INTEGER NOT NULL, -- of its last event
    recorded_ms       INTEGER NOT NULL,
    PRIMARY KEY (municipality_code, actor, request_id)
) STRICT, WITHOUT ROWID;

-- What belongs to one item alone: a person to its active card or its live application, an order to its envelope.
CREATE TABLE hold (
    municipality_code TEXT NOT NULL,
    kind              TEXT NOT NULL,
    held              BLOB NOT NULL CHECK (length(held) = 32), -- a blind index, or a SHA-256
    item_id           TEXT NOT NULL,
    PRIMARY KEY (municipality_code, kind, held)
) STRICT, WITHOUT ROWID;

INSERT INTO schema_version (version, usable_from) VALUES (9, 6);
