-- The relay pool: who decides, the state of the units, every decision, and every order.
PRAGMA user_version = 5; -- the number of this migration: older programs refuse the file

-- One row: the issuer that decides, until its lease ends. The epoch grows with each that takes over.
CREATE TABLE pool_controller (
    name     TEXT    NOT NULL PRIMARY KEY CHECK (name = 'pool'),
    owner    TEXT    NOT NULL,
    epoch    INTEGER NOT NULL CHECK (epoch > 0),
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: what the policy knows of every unit, penalties among it, as its own JSON.
CREATE TABLE pool_state (
    name       TEXT    NOT NULL PRIMARY KEY CHECK (name = 'pool'),
    epoch      INTEGER NOT NULL,
    written_ms INTEGER NOT NULL,
    state      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- The ledger: rows are only ever added.
CREATE TABLE pool_decision (
    number     INTEGER NOT NULL PRIMARY KEY,
    epoch      INTEGER NOT NULL,
    decided_ms INTEGER NOT NULL,
    unit       TEXT    NOT NULL, -- empty: the pool
    kind       TEXT    NOT NULL,
    record     TEXT    NOT NULL  -- the whole decision as JSON
) STRICT;

CREATE INDEX pool_decision_unit ON pool_decision (unit, number);

CREATE TRIGGER pool_decision_kept BEFORE DELETE ON pool_decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are only ever added');
END;

CREATE TRIGGER pool_decision_fixed BEFORE UPDATE ON pool_decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are only ever added');
END;

-- Orders of operators by their own ids, so that none is carried out twice.
CREATE TABLE pool_order (
    request_id TEXT    NOT NULL PRIMARY KEY,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    operator   TEXT    NOT NULL,
    ordered_ms INTEGER NOT NULL,
    answer     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
