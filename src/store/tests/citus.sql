-- What Citus 13.2 has under these names, as far as it can refuse: a table that is there and not told of yet, that
-- has no trigger unless that is allowed, a column of its primary key, a table to lie beside that is spread, and
-- foreign keys only to tables that lie there already.
CREATE TABLE told (name TEXT COLLATE "C" PRIMARY KEY, spread_by TEXT);

CREATE FUNCTION refuse_triggers(told_of regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('citus.enable_unsafe_triggers', true) IS DISTINCT FROM 'on'
        AND EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = told_of AND NOT tgisinternal) THEN
        RAISE EXCEPTION 'cannot distribute relation "%" because it has triggers', told_of;
    END IF;
END $$;

CREATE FUNCTION create_reference_table(table_name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse_triggers(table_name);
    INSERT INTO told VALUES (table_name::text, NULL);
END $$;

CREATE FUNCTION create_distributed_table(
    table_name regclass, distribution_column text, distribution_type text DEFAULT 'hash',
    colocate_with text DEFAULT 'default', shard_count int DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    keyed boolean;
BEGIN
    PERFORM refuse_triggers(table_name);
    SELECT bool_and(EXISTS (SELECT 1 FROM pg_attribute AS a
            WHERE a.attrelid = table_name AND a.attname = distribution_column AND a.attnum = ANY (i.indkey)))
        INTO keyed FROM pg_index AS i WHERE i.indrelid = table_name AND i.indisunique;
    IF keyed IS NOT TRUE THEN
        RAISE EXCEPTION 'cannot create constraint on "%": it has no %', table_name, distribution_column;
    END IF;
    IF colocate_with <> 'none' AND NOT EXISTS (SELECT 1 FROM told WHERE name = colocate_with
            AND spread_by = distribution_column) THEN
        RAISE EXCEPTION 'cannot colocate "%" with %', table_name, colocate_with;
    END IF;
    IF EXISTS (SELECT 1 FROM pg_constraint AS c WHERE c.contype = 'f' AND c.conrelid = table_name
            AND NOT EXISTS (SELECT 1 FROM told WHERE name = c.confrelid::regclass::text)) THEN
        RAISE EXCEPTION 'cannot create foreign key constraint: "%" refers to a local table', table_name;
    END IF;
    INSERT INTO told VALUES (table_name::text, distribution_column);
END $$;
