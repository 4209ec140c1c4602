-- Run once, on an empty data folder: the role of the gateway, which owns its database and nothing else.
\set ON_ERROR_STOP on
\set gateway_password `cat /run/secrets/gatehouse/gateway-password`
\set backup_password `cat /run/secrets/gatehouse/backup-password`

CREATE ROLE gateway LOGIN PASSWORD :'gateway_password';
REVOKE ALL ON DATABASE postgres, template1, gateway FROM PUBLIC;
ALTER DATABASE gateway OWNER TO gateway;
ALTER SCHEMA public OWNER TO gateway;

-- Who makes the dumps: reads everything, changes nothing.
CREATE ROLE backup LOGIN PASSWORD :'backup_password' IN ROLE pg_read_all_data;
GRANT CONNECT ON DATABASE gateway TO backup;
