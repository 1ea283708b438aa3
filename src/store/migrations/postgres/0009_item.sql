-- What has a life of its own: envelopes, stocktakes, applications and cards. How each stands, everything that happened to it,
-- and which request it was that did it.

-- One row an item. It follows from the history, and can be made of it again.
CREATE TABLE item (
    municipality_code TEXT COLLATE "C" NOT NULL,
    kind              TEXT COLLATE "C" NOT NULL,
    item_id           TEXT COLLATE "C" NOT NULL CHECK (length(item_id) BETWEEN 1 AND 64),
    state             TEXT COLLATE "C" NOT NULL,
    since_ms          BIGINT           NOT NULL, -- when it came into this state, by whoever did it
    events            BIGINT           NOT NULL CHECK (events > 0), -- how many rows of history it has
    office            TEXT COLLATE "C" NOT NULL, -- of the municipality, which it is at; empty: none
    cards             BIGINT           NOT NULL CHECK (cards >= 0), -- in an envelope; else 1
    details           TEXT COLLATE "C" NOT NULL, -- what else there is to say, as its own JSON; no personal data
    PRIMARY KEY (municipality_code, kind, item_id)
) WITH (fillfactor = 70);
-- What stands where, and since when.
CREATE INDEX item_state ON item (municipality_code, kind, state, since_ms, item_id);

-- Everything that happened, in the order in which it was recorded: rows are only ever added.
CREATE TABLE history (
    municipality_code TEXT COLLATE "C" NOT NULL,
    kind              TEXT COLLATE "C" NOT NULL,
    item_id           TEXT COLLATE "C" NOT NULL,
    position          BIGINT           NOT NULL CHECK (position > 0),
    occurred_ms       BIGINT           NOT NULL, -- when it happened, as its sender says
    recorded_ms       BIGINT           NOT NULL,
    actor             TEXT COLLATE "C" NOT NULL, -- the role and name of its certificate
    request_id        TEXT COLLATE "C" NOT NULL,
    event             TEXT COLLATE "C" NOT NULL, -- as its own JSON; no personal data
    PRIMARY KEY (municipality_code, kind, item_id, position)
);

CREATE FUNCTION history_refused() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what happened is only ever added to';
END $$;

CREATE TRIGGER history_kept BEFORE UPDATE OR DELETE ON history
    FOR EACH ROW EXECUTE FUNCTION history_refused();

CREATE TRIGGER history_whole BEFORE TRUNCATE ON history
    FOR EACH STATEMENT EXECUTE FUNCTION history_refused();

-- Requests that were carried out, so that the same one sent again does nothing more.
CREATE TABLE request (
    municipality_code TEXT COLLATE "C" NOT NULL,
    actor             TEXT COLLATE "C" NOT NULL, -- whose id it is
    request_id        TEXT COLLATE "C" NOT NULL,
    fingerprint       BYTEA            NOT NULL CHECK (length(fingerprint) = 32),
    kind              TEXT COLLATE "C" NOT NULL,
    item_id           TEXT COLLATE "C" NOT NULL,
    position          BIGINT           NOT NULL, -- of its last event
    recorded_ms       BIGINT           NOT NULL,
    PRIMARY KEY (municipality_code, actor, request_id)
);

-- What belongs to one item alone: a person to its active card or its live application, an order to its envelope.
CREATE TABLE hold (
    municipality_code TEXT COLLATE "C" NOT NULL,
    kind              TEXT COLLATE "C" NOT NULL,
    held              BYTEA            NOT NULL CHECK (length(held) = 32), -- a blind index, or a SHA-256
    item_id           TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (municipality_code, kind, held)
);

INSERT INTO schema_version (version, usable_from) VALUES (9, 6);
