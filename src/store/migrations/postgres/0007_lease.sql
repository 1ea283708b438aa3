-- What one issuer does for all, as the sweeper's rounds: a row a task, until its lease ends.

-- The epoch grows with each that takes over.
CREATE TABLE lease (
    name     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    owner    TEXT COLLATE "C" NOT NULL,
    epoch    BIGINT           NOT NULL CHECK (epoch > 0),
    until_ms BIGINT           NOT NULL
);

INSERT INTO schema_version (version, usable_from) VALUES (7, 6);
