-- Statements of master's ingest (master/ingest/). See README.md in this directory.

-- What engines and profiles there are.
-- name: ingest_engines
select id, name, kind, enabled from engine order by id;

-- name: ingest_profiles
select id, name, engines, required, deadline_ms from profile order by id;

-- Makes the set or finds it. Two statements, since the one that conflicts cannot return the row that was there; not an
-- upsert, which would use up ids.
-- name: ingest_set_new
insert into engine_set (engines, required)
select $1::smallint[], $2::boolean[]
where not exists (select from engine_set where engines = $1::smallint[] and required = $2::boolean[])
on conflict (engines, required) do nothing;

-- name: ingest_set_id
select id from engine_set where engines = $1::smallint[] and required = $2::boolean[];

-- Answers that are kept.
-- name: ingest_replay
select k.i, d.digest, d.response
from unnest($1::bigint[], $2::text[]) with ordinality as k(owner_id, key, i)
join idempotency d on d.owner_id = k.owner_id and d.key = k.key
where d.created_at > now() - interval '24 hours';

-- Which of these samples have a row; i counts from 1.
-- name: ingest_known
select k.i, s.id, s.size
from unnest($1::bytea[]) with ordinality as k(sha256, i)
join sample s on s.sha256 = k.sha256;

-- Unfinished scans of known samples that a submission may join. Only the newest few of a sample are asked: one that is
-- sent again and again has very many.
-- name: ingest_open
select k.i, c.id, c.set_id, c.band
from unnest($1::bigint[]) with ordinality as k(sample_id, i)
cross join lateral (
    select id, set_id, band, cause, finished_at from scan
    where sample_id = k.sample_id order by id desc limit 4
) c
where c.finished_at is null and c.cause in (1, 2);

-- Ids for a group: first and last of each sequence, and whether nobody else drew in between.
-- name: ingest_ids
select min(a), max(a), min(b), max(b), min(c), max(c)
from (
    select case when i <= $1::bigint then nextval('sample_id_seq') end as a,
           case when i <= $2::bigint then nextval('scan_id_seq') end as b,
           case when i <= $3::bigint then nextval('submission_id_seq') end as c
    from generate_series(1, greatest($1::bigint, $2::bigint, $3::bigint)) as i
) as ids;

-- The transaction writes in this epoch or not at all: a successor waits for it (leader_await), and finds no row here.
-- name: ingest_begin
begin;

-- name: ingest_epoch
select epoch from master_epoch where epoch = $1::bigint for key share;

-- Scans to be joined are held until the submission is committed, so that their end (and its event) comes after it.
-- name: ingest_join
select id from scan where id = any($1::bigint[]) and finished_at is null order by id for share;

-- name: ingest_copy_sample
copy sample (id, sha256, size) from stdin (format binary);

-- name: ingest_copy_scan
copy scan (id, sample_id, owner_id, set_id, profile_id, cause, band, deadline_ms, pending) from stdin (format binary);

-- name: ingest_copy_job
copy job (id, engine_id, required) from stdin (format binary);

-- name: ingest_copy_submission
copy submission (id, sample_id, scan_id, owner_id, team_id, visibility, name, source_path, batch, tags)
from stdin (format binary);

-- name: ingest_remember
insert into idempotency (owner_id, key, digest, response)
values ($1::bigint, $2::text, $3::bytea, $4::bytea)
on conflict (owner_id, key) do update
set digest = excluded.digest, response = excluded.response, created_at = now();

-- name: ingest_forget
delete from idempotency
where (owner_id, key) in (
    select owner_id, key from idempotency where created_at < now() - interval '24 hours' order by created_at limit 500);

-- After a failure: which of these samples have a row all the same.
-- name: ingest_still_unknown
select count(*) from sample where sha256 = any($1::bytea[]);

-- Uploads.
-- name: ingest_upload_new
insert into upload (id, owner_id, size, sha256, request)
select $1::text, $2::bigint, $3::bigint, $4::bytea, $5::jsonb
where (select count(*) from upload where submission_id is null) < $6::bigint
returning id;

-- name: ingest_upload_get
select u.size, u.sha256, u.request, u.submission_id, s.scan_id, p.sha256
from upload u
left join submission s on s.id = u.submission_id
left join sample p on p.id = s.sample_id
where u.id = $1::text and u.owner_id = $2::bigint;

-- name: ingest_upload_done
update upload set submission_id = $2::bigint where id = $1::text;

-- name: ingest_upload_drop
delete from upload where id = $1::text and owner_id = $2::bigint and submission_id is null returning id;

-- name: ingest_upload_expire
delete from upload where id in (
    select id from upload where created_at < now() - interval '24 hours' order by created_at limit 100)
returning id;

-- Back-fill. Scans that missed an engine, the oldest first: finished ones only. A scan that a newer one of the same
-- engines has replaced needs none. The row goes in either case.
-- name: ingest_backfill_pick
with picked as (
    select m.engine_id, m.scan_id, s.sample_id, s.set_id
    from missing m
    join engine e on e.id = m.engine_id
    join scan s on s.id = m.scan_id
    where e.name = $1::text and s.finished_at is not null
    order by m.scan_id
    limit $2::integer
    for update of m skip locked
), gone as (
    delete from missing m using picked p
    where m.engine_id = p.engine_id and m.scan_id = p.scan_id
)
select p.scan_id, p.engine_id
from picked p
where not exists (
    select from scan n where n.sample_id = p.sample_id and n.set_id = p.set_id and n.id > p.scan_id)
order by p.scan_id;

-- $1 parents, $2 their new ids. The scan carries its parent's results along and runs what was missing.
-- name: ingest_backfill_scan
insert into scan (id, sample_id, owner_id, parent_id, set_id, profile_id, cause, band, deadline_ms, pending, type)
select n.id, s.sample_id, s.owner_id, s.id, s.set_id, s.profile_id, 3, 3, s.deadline_ms, 1, s.type
from unnest($1::bigint[], $2::bigint[]) as n(parent_id, id)
join scan s on s.id = n.parent_id;

-- name: ingest_backfill_job
with carried as (
    insert into artifact (job_id, position, picture, size, sha256, name, mime)
    select n.id * 256 + (a.job_id & 255), a.position, a.picture, a.size, a.sha256, a.name, a.mime
    from unnest($1::bigint[], $2::bigint[]) as n(parent_id, id)
    join job j on j.id >= n.parent_id * 256 and j.id < n.parent_id * 256 + 256
    join artifact a on a.job_id = j.id
    where j.engine_id <> $3::smallint
)
insert into job (id, engine_id, required, counted, cached, outcome, run_ms, build_id, worker_id, wait_us, run_us,
                 cpu_us, final, label, reason, traits)
select n.id * 256 + (j.id & 255), j.engine_id, j.required, j.counted, true, j.outcome, j.run_ms, j.build_id,
       j.worker_id, j.wait_us, j.run_us, j.cpu_us, j.final, j.label, j.reason, j.traits
from unnest($1::bigint[], $2::bigint[]) as n(parent_id, id)
join job j on j.id >= n.parent_id * 256 and j.id < n.parent_id * 256 + 256
where j.engine_id <> $3::smallint
union all
select n.id * 256 + (j.id & 255), j.engine_id, j.required, null, false, null, j.run_ms, null, null, null, null, null,
       null, null, null, null
from unnest($1::bigint[], $2::bigint[]) as n(parent_id, id)
join job j on j.id >= n.parent_id * 256 and j.id < n.parent_id * 256 + 256
where j.engine_id = $3::smallint;

-- Other engines that the parents still miss are missed by their children now.
-- name: ingest_backfill_move
update missing m set scan_id = n.id
from unnest($1::bigint[], $2::bigint[]) as n(parent_id, id)
where m.scan_id = n.parent_id;
