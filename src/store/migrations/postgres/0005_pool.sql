-- The relay pool: who decides, the state of the units, every decision, and every order.

-- One row: the issuer that decides, until its lease ends. The epoch grows with each that takes over.
CREATE TABLE pool_controller (
    name     TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (name = 'pool'),
    owner    TEXT COLLATE "C" NOT NULL,
    epoch    BIGINT           NOT NULL CHECK (epoch > 0),
    until_ms BIGINT           NOT NULL
);

-- One row: what the policy knows of every unit, penalties among it, as its own JSON.
CREATE TABLE pool_state (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (name = 'pool'),
    epoch      BIGINT           NOT NULL,
    written_ms BIGINT           NOT NULL,
    state      TEXT COLLATE "C" NOT NULL
);

-- The ledger: rows are only ever added.
CREATE TABLE pool_decision (
    number     BIGINT           NOT NULL PRIMARY KEY,
    epoch      BIGINT           NOT NULL,
    decided_ms BIGINT           NOT NULL,
    unit       TEXT COLLATE "C" NOT NULL, -- empty: the pool
    kind       TEXT COLLATE "C" NOT NULL,
    record     TEXT COLLATE "C" NOT NULL  -- the whole decision as JSON
);

CREATE INDEX pool_decision_unit ON pool_decision (unit, number);

CREATE FUNCTION pool_decision_refused() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'decisions are only ever added';
END $$;

CREATE TRIGGER pool_decision_kept BEFORE UPDATE OR DELETE ON pool_decision
    FOR EACH ROW EXECUTE FUNCTION pool_decision_refused();

CREATE TRIGGER pool_decision_whole BEFORE TRUNCATE ON pool_decision
    FOR EACH STATEMENT EXECUTE FUNCTION pool_decision_refused();

-- Orders of operators by their own ids, so that none is carried out twice.
CREATE TABLE pool_order (
    request_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    digest     BYTEA            NOT NULL CHECK (length(digest) = 32),
    operator   TEXT COLLATE "C" NOT NULL,
    ordered_ms BIGINT           NOT NULL,
    answer     BYTEA            NOT NULL
);
