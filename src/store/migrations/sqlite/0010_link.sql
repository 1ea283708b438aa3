-- By what items are found together: the applications of a household, the cards of a person, of a lot, of a last day.
PRAGMA user_version = 10;

CREATE TABLE link (
    municipality_code TEXT NOT NULL,
    kind              TEXT NOT NULL,
    linked            BLOB NOT NULL CHECK (length(linked) = 32), -- a blind index, a SHA-256, or a day
    item_kind         TEXT NOT NULL,
    item_id           TEXT NOT NULL,
    PRIMARY KEY (municipality_code, kind, linked, item_kind, item_id)
) STRICT, WITHOUT ROWID;
-- In every municipality: where a lot is, and what ends on a day.
CREATE INDEX link_kind ON link (kind, linked, municipality_code);

INSERT INTO schema_version (version, usable_from) VALUES (10, 6);
