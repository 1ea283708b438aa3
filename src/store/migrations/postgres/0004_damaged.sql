-- Damage of batches that are accepted is looked for again and again, as what is open is.

CREATE INDEX batch_damaged ON batch (municipality_code, batch_id)
    WHERE state IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS') AND damaged_ms IS NOT NULL
        AND chunks_stored < chunk_count;
