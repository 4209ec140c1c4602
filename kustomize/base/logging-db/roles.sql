-- Run once, on an empty data folder: a role and a schema for each of three services. None of them sees another's schema.
\set ON_ERROR_STOP on
\set admin_password `cat /run/secrets/gatehouse/admin-password`
\set scheduler_password `cat /run/secrets/gatehouse/scheduler-password`
\set monitor_password `cat /run/secrets/gatehouse/monitor-password`
\set backup_password `cat /run/secrets/gatehouse/backup-password`

REVOKE ALL ON DATABASE postgres, template1, logging FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE ROLE admin LOGIN PASSWORD :'admin_password';
CREATE ROLE scheduler LOGIN PASSWORD :'scheduler_password';
CREATE ROLE monitor LOGIN PASSWORD :'monitor_password';
GRANT CONNECT, TEMPORARY ON DATABASE logging TO admin, scheduler, monitor;

CREATE SCHEMA actions AUTHORIZATION admin;
CREATE SCHEMA jobs AUTHORIZATION scheduler;
CREATE SCHEMA metrics AUTHORIZATION monitor;
ALTER ROLE admin IN DATABASE logging SET search_path = actions;
ALTER ROLE scheduler IN DATABASE logging SET search_path = jobs;
ALTER ROLE monitor IN DATABASE logging SET search_path = metrics;

-- Who makes the dumps: reads everything, changes nothing.
CREATE ROLE backup LOGIN PASSWORD :'backup_password' IN ROLE pg_read_all_data;
GRANT CONNECT ON DATABASE logging TO backup;
