-- What one issuer does for all, as the sweeper's rounds: a row a task, until its lease ends.
PRAGMA user_version = 7;

-- The epoch grows with each that takes over.
CREATE TABLE lease (
    name     TEXT    NOT NULL PRIMARY KEY,
    owner    TEXT    NOT NULL,
    epoch    INTEGER NOT NULL CHECK (epoch > 0),
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO schema_version (version, usable_from) VALUES (7, 6);
