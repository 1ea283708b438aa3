-- By what items are found together: the applications of a household, the cards of a person, of a lot, of a last day.

CREATE TABLE link (
    municipality_code TEXT COLLATE "C" NOT NULL,
    kind              TEXT COLLATE "C" NOT NULL,
    linked            BYTEA            NOT NULL CHECK (length(linked) = 32), -- a blind index, a SHA-256, or a day
    item_kind         TEXT COLLATE "C" NOT NULL,
    item_id           TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (municipality_code, kind, linked, item_kind, item_id)
);
-- In every municipality: where a lot is, and what ends on a day.
CREATE INDEX link_kind ON link (kind, linked, municipality_code);

INSERT INTO schema_version (version, usable_from) VALUES (10, 6);
