-- What the issuers of one database have in common.
PRAGMA user_version = 8;

-- Their keys, so that an issuer with others is told so: a row each time that a key took the place of another,
-- of which the last is in use. Nothing in it tells a key.
CREATE TABLE key_check (
    key_name    TEXT    NOT NULL,
    number      INTEGER NOT NULL CHECK (number > 0),
    key_id      TEXT    NOT NULL,
    check_value BLOB    NOT NULL CHECK (length(check_value) = 32),
    PRIMARY KEY (key_name, number)
) STRICT, WITHOUT ROWID;

INSERT INTO schema_version (version, usable_from) VALUES (8, 6);
