-- Run once, on an empty data folder: the role of the data service, which owns its database and nothing else.
\set ON_ERROR_STOP on
\set data_password `cat /run/secrets/gatehouse/data-password`
\set backup_password `cat /run/secrets/gatehouse/backup-password`

CREATE ROLE data LOGIN PASSWORD :'data_password';
REVOKE ALL ON DATABASE postgres, template1, data FROM PUBLIC;
ALTER DATABASE data OWNER TO data;
ALTER SCHEMA public OWNER TO data;

-- Who makes the dumps: reads everything, changes nothing.
CREATE ROLE backup LOGIN PASSWORD :'backup_password';
GRANT pg_read_all_data TO backup;
GRANT CONNECT ON DATABASE data TO backup;
