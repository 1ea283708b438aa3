-- Which programs can live with a step of the schema: the rules are in ../README.md.

-- A row a step: its programs, and those from `usable_from` on, may use a database that has taken it.
CREATE TABLE schema_version (
    version     BIGINT NOT NULL PRIMARY KEY CHECK (version > 0),
    usable_from BIGINT NOT NULL CHECK (usable_from BETWEEN 1 AND version)
);

INSERT INTO schema_version (version, usable_from) VALUES (6, 6);
