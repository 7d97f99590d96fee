-- Statements of master's ingest. See README.md in this directory.
-- name: ingest_one
select 1::bigint;
