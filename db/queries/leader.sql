-- Statements of master's leader (master/scan/leader.c). See README.md in this directory.

-- name: leader_lock
select pg_try_advisory_lock($1::bigint);

-- name: leader_look
select epoch, holder, coalesce(backend, 0), (extract(epoch from clock_timestamp() - seen_at) * 1000)::bigint
from master_epoch;

-- The stronger lock first: it waits for every transaction that holds the row by KEY SHARE, that is for everyone who
-- writes in the old epoch; plain renewals wait for nobody.
-- name: leader_await
select epoch from master_epoch for update;

-- name: leader_take
update master_epoch
set epoch = epoch + 1, holder = $1::text, backend = pg_backend_pid(), seen_at = clock_timestamp()
returning epoch;

-- name: leader_renew
update master_epoch set seen_at = clock_timestamp(), backend = pg_backend_pid(), holder = $2::text
where epoch = $1::bigint
returning epoch;

-- A stopped process keeps its locks: its lock holder's backend goes, and those of its scan threads.
-- name: leader_terminate
select count(pg_terminate_backend(pid))
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and (pid = $1::integer or application_name = $2::text);
