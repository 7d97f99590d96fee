-- Statements of master's drive (master/scan/drive.c). See README.md in this directory.

-- The next unfinished scans of a band behind a cursor, a row for each job without a final result. The type is what an
-- earlier scan of the sample found; only its newest few are asked, a sample can have very many.
-- name: drive_pull
with w as (
    select id, sample_id, deadline_ms, owner_id, band, type
    from scan
    where finished_at is null and band = $1::smallint and id > $2::bigint
    order by id
    limit $3::integer
)
select w.id, w.band, p.sha256, p.size, w.owner_id, w.deadline_ms,
       coalesce(w.type, (
           select t.type
           from (select x.type from scan x where x.sample_id = w.sample_id order by x.id desc limit 8) t
           where t.type is not null
           limit 1)),
       j.id, e.name, j.run_ms, j.lost
from w
join sample p on p.id = w.sample_id
join job j on j.id >= w.id * 256 and j.id < w.id * 256 + 256 and j.final is null
join engine e on e.id = j.engine_id
order by w.id, j.id;

-- The same for scans that are known by id.
-- name: drive_again
with w as (
    select id, sample_id, deadline_ms, owner_id, band, type
    from scan
    where finished_at is null and id = any($1::bigint[])
)
select w.id, w.band, p.sha256, p.size, w.owner_id, w.deadline_ms,
       coalesce(w.type, (
           select t.type
           from (select x.type from scan x where x.sample_id = w.sample_id order by x.id desc limit 8) t
           where t.type is not null
           limit 1)),
       j.id, e.name, j.run_ms, j.lost
from w
join sample p on p.id = w.sample_id
join job j on j.id >= w.id * 256 and j.id < w.id * 256 + 256 and j.final is null
join engine e on e.id = j.engine_id
order by w.id, j.id;

-- Ids only: which unfinished scans of a band lie behind the cursor's back.
-- name: drive_sweep
select id
from scan
where finished_at is null and band = $1::smallint and id > $2::bigint and id <= $3::bigint
order by id
limit $4::integer;

-- An engine that is new is enabled from now on; a stranger can't make more than 250 of them. Not an upsert: that would
-- use up a smallint id each time.
-- name: drive_engine_seen
with seen as (update engine set seen_at = now() where name = $1::text returning id)
insert into engine (name, kind, seen_at)
select $1::text, $2::smallint, now()
where not exists (select from seen) and (select count(*) from engine) < 250
on conflict (name) do nothing
returning id;

-- Which engines have scans to be back-filled, of those named.
-- name: drive_missing
select e.name
from engine e
where e.name = any($1::text[]) and exists (select 1 from missing m where m.engine_id = e.id);
