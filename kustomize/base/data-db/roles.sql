-- Run once, on an empty data folder. The data service's own roles are made by `gatehouse data-setup`; here are those of others.
\set ON_ERROR_STOP on
\set hello_password `cat /run/secrets/gatehouse/hello-password`
\set backup_password `cat /run/secrets/gatehouse/backup-password`

REVOKE ALL ON DATABASE postgres, template1, data FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- Who may call what `data-setup` takes away from everybody else.
CREATE ROLE data_trusted NOLOGIN;

-- A microservice keeps what is its own in a schema of its own, and sees no dataset.
CREATE ROLE hello LOGIN PASSWORD :'hello_password' IN ROLE data_trusted;
GRANT CONNECT, TEMPORARY ON DATABASE data TO hello;
CREATE SCHEMA hello AUTHORIZATION hello;
ALTER ROLE hello IN DATABASE data SET search_path = hello;

-- Who makes the dumps: reads everything, also what row security hides, and changes nothing.
CREATE ROLE backup LOGIN BYPASSRLS PASSWORD :'backup_password' IN ROLE data_trusted, pg_read_all_data;
GRANT CONNECT ON DATABASE data TO backup;
