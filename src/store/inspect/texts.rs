//! What is asked of each table when a database is looked at: as bytes, so that what is damaged can be read
//! too.
//!
//! SQLite keeps what is none of a column's type, and tells of it only when it is read as bytes. PostgreSQL
//! keeps no such thing; it is asked for the same bytes.

statements! {
    pub(super) BATCHES = {
        sqlite: "
        SELECT CAST(municipality_code AS BLOB) AS code, batch_id FROM batch
        WHERE (municipality_code, batch_id) > (CAST($1 AS TEXT), $2)
        ORDER BY municipality_code, batch_id LIMIT $3",
        postgres: "
        SELECT convert_to(municipality_code, 'UTF8') AS code, uuid_send(batch_id) AS batch_id
        FROM batch
        WHERE (municipality_code, batch_id) > (convert_from($1, 'UTF8'), CAST(encode($2, 'hex') AS UUID))
        ORDER BY municipality_code, batch_id LIMIT $3" };
    // Damage may have made a number of chunks anything: only what one can be is added up.
    pub(super) ANNOUNCED = {
        sqlite: "
        SELECT CAST(COALESCE(SUM(MIN(MAX(chunk_count, 0), 4294967295)), 0) AS INTEGER) AS chunks FROM batch",
        postgres: "
        SELECT CAST(COALESCE(SUM(chunk_count), 0) AS BIGINT) AS chunks FROM batch" };
    pub(super) INTEGRITY = { sqlite: "PRAGMA integrity_check(20)" };
    pub(super) POOL = {
        sqlite: "
        SELECT 'pool_state' AS part, 0 AS number, CAST(state AS BLOB) AS text FROM pool_state
        UNION ALL
        SELECT 'pool_decision', number, CAST(record AS BLOB) FROM pool_decision",
        postgres: "
        SELECT 'pool_state' AS part, 0 AS number, convert_to(state, 'UTF8') AS text FROM pool_state
        UNION ALL
        SELECT 'pool_decision', number, convert_to(record, 'UTF8') FROM pool_decision" };
    pub(super) ORDERS = {
        sqlite: "
        SELECT o.record_index, CAST(o.order_id AS BLOB) AS order_id, o.leaf, CAST(o.kind AS BLOB) AS kind,
            CAST(o.district AS BLOB) AS district, o.person_index, o.protected,
            CAST(o.accommodations AS BLOB) AS accommodations, o.sealed,
            EXISTS (SELECT 1 FROM order_key AS k WHERE k.municipality_code = o.municipality_code
                AND k.order_id = o.order_id AND k.batch_id = o.batch_id AND k.attempt = o.attempt
                AND k.record_index = o.record_index) AS has_key,
            o.person_index IS NULL OR EXISTS (SELECT 1 FROM card_person AS p
                WHERE p.municipality_code = o.municipality_code
                AND p.person_key = substr(o.person_index, 1, 8) AND p.sequence = $6
                AND p.attempt = o.attempt AND p.record_index = o.record_index) AS has_person
        FROM card_order AS o
        WHERE o.municipality_code = $1 AND o.batch_id = $2 AND o.attempt = $3
            AND o.record_index BETWEEN $4 AND $5
        ORDER BY o.record_index",
        postgres: "
        SELECT o.record_index, convert_to(o.order_id, 'UTF8') AS order_id, o.leaf,
            convert_to(o.kind, 'UTF8') AS kind,
            convert_to(o.district, 'UTF8') AS district, o.person_index, o.protected,
            convert_to(o.accommodations, 'UTF8') AS accommodations, o.sealed,
            EXISTS (SELECT 1 FROM order_key AS k WHERE k.municipality_code = o.municipality_code
                AND k.order_id = o.order_id AND k.batch_id = o.batch_id AND k.attempt = o.attempt
                AND k.record_index = o.record_index) AS has_key,
            o.person_index IS NULL OR EXISTS (SELECT 1 FROM card_person AS p
                WHERE p.municipality_code = o.municipality_code
                AND p.person_key = substr(o.person_index, 1, 8) AND p.sequence = $6
                AND p.attempt = o.attempt AND p.record_index = o.record_index) AS has_person
        FROM card_order AS o
        WHERE o.municipality_code = $1 AND o.batch_id = $2 AND o.attempt = $3
            AND o.record_index BETWEEN $4 AND $5
        ORDER BY o.record_index" };
    pub(super) OTHERS = "
        SELECT record_index, order_id, kind, code, field, other_batch_id, other_index FROM disposition
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND record_index BETWEEN $4 AND $5
        ORDER BY record_index";
    pub(super) COUNT_ROWS = "
        SELECT (SELECT COUNT(*) FROM card_order
                WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3)
            + (SELECT COUNT(*) FROM disposition
                WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3) AS entries";
    pub(super) STRAY_CHUNKS = "
        SELECT chunk_number FROM chunk
        WHERE municipality_code = $1 AND batch_id = $2 AND chunk_number NOT BETWEEN 0
            AND CAST($3 AS BIGINT) - 1 LIMIT 100";
    pub(super) STRAY_ENTRIES = "
        SELECT 'card_order' AS part, attempt, COUNT(*) AS entries FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt > $3 GROUP BY attempt
        UNION ALL
        SELECT 'card_order', attempt, COUNT(*) FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt < 1 GROUP BY attempt
        UNION ALL
        SELECT 'disposition', attempt, COUNT(*) FROM disposition
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt > $3 GROUP BY attempt
        UNION ALL
        SELECT 'disposition', attempt, COUNT(*) FROM disposition
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt < 1 GROUP BY attempt
        LIMIT 100";
    pub(super) RECEIPT = "
        SELECT sequence, attempt, digest, receipt FROM receipt
        WHERE municipality_code = $1 AND batch_id = $2";
    pub(super) RECEIPT_BEFORE = "
        SELECT receipt, given_up_ms IS NOT NULL AS given_up FROM lost_batch
        WHERE municipality_code = $1 AND batch_id = $2";
    pub(super) LOST_MANIFESTS = {
        sqlite: "
        SELECT CAST(municipality_code AS BLOB) AS code, batch_id FROM manifest AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100",
        postgres: "
        SELECT convert_to(municipality_code, 'UTF8') AS code, uuid_send(batch_id) AS batch_id
        FROM manifest AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100" };
    pub(super) LOST_CHUNKS = {
        sqlite: "
        SELECT DISTINCT CAST(municipality_code AS BLOB) AS code, batch_id FROM chunk AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100",
        postgres: "
        SELECT DISTINCT convert_to(municipality_code, 'UTF8') AS code, uuid_send(batch_id) AS batch_id
        FROM chunk AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100" };
    pub(super) LOST_ORDERS = {
        sqlite: "
        SELECT DISTINCT CAST(municipality_code AS BLOB) AS code, batch_id FROM card_order AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100",
        postgres: "
        SELECT DISTINCT convert_to(municipality_code, 'UTF8') AS code, uuid_send(batch_id) AS batch_id
        FROM card_order AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100" };
    pub(super) LOST_RECEIPTS = {
        sqlite: "
        SELECT CAST(municipality_code AS BLOB) AS code, batch_id FROM receipt AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100",
        postgres: "
        SELECT convert_to(municipality_code, 'UTF8') AS code, uuid_send(batch_id) AS batch_id
        FROM receipt AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100" };
}
