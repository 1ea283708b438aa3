-- What a new cluster has beside Patroni's own roles: the database, its owner, and the lesser role of issuers.
-- Patroni runs it once, on the node that makes the cluster. Nobody has a password: `pg_hba` asks for a
-- certificate whose CN is the role.

-- Operators, who run `todoke migrate` and their other commands.
CREATE ROLE todoke_owner LOGIN;
-- Issuers read and write rows. They cannot alter a table, and what they empty they empty row by row.
CREATE ROLE todoke_issuer LOGIN;

CREATE DATABASE todoke OWNER todoke_owner;
REVOKE ALL ON DATABASE todoke FROM PUBLIC;
-- TEMPORARY: imports go through tables that live as long as their transaction.
GRANT CONNECT, TEMPORARY ON DATABASE todoke TO todoke_issuer;

\connect todoke
ALTER SCHEMA public OWNER TO todoke_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO todoke_issuer;
ALTER DEFAULT PRIVILEGES FOR ROLE todoke_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO todoke_issuer;
ALTER DEFAULT PRIVILEGES FOR ROLE todoke_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO todoke_issuer;
