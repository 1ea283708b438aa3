-- What the issuers of one database have in common.

-- Their keys, so that an issuer with others is told so: a row each time that a key took the place of another,
-- of which the last is in use. Nothing in it tells a key.
CREATE TABLE key_check (
    key_name    TEXT COLLATE "C" NOT NULL,
    number      BIGINT           NOT NULL CHECK (number > 0),
    key_id      TEXT COLLATE "C" NOT NULL,
    check_value BYTEA            NOT NULL CHECK (length(check_value) = 32),
    PRIMARY KEY (key_name, number)
);

INSERT INTO schema_version (version, usable_from) VALUES (8, 6);
