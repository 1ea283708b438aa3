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

-- What says which steps were taken is the owner's: issuers of another role, and whoever else was let in to write
-- rows, only read it.
DO $$
DECLARE lesser TEXT;
BEGIN
    FOR lesser IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(CAST(a.grantee AS REGROLE) AS TEXT) END
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid IN (CAST('_sqlx_migrations' AS REGCLASS), CAST('schema_version' AS REGCLASS))
            AND a.grantee <> c.relowner
    LOOP
        EXECUTE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON _sqlx_migrations, schema_version FROM ' || lesser;
    END LOOP;
END $$;

INSERT INTO schema_version (version, usable_from) VALUES (8, 6);
