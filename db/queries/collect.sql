-- Statements of master's collect (master/scan/commit.c). See README.md in this directory.

-- The transaction writes in this epoch or not at all: a successor waits for it (leader_await), and finds no row here.
-- name: collect_epoch
select epoch from master_epoch where epoch = $1::bigint for key share;

-- name: collect_build
insert into engine_build (engine_id, version, definitions, origin)
select id, $2::text, $3::text, $4::text from engine where name = $1::text
on conflict (engine_id, version, definitions, origin) do nothing;

-- name: collect_build_id
select b.id
from engine_build b join engine e on e.id = b.engine_id
where e.name = $1::text and b.version = $2::text and b.definitions = $3::text and b.origin = $4::text;

-- name: collect_worker
insert into worker_name (name) values ($1::text) on conflict (name) do nothing;

-- name: collect_worker_id
select id from worker_name where name = $1::text;

-- The compare-and-set that makes a result final.
-- name: collect_results
update job
set outcome = u.outcome, counted = u.counted, build_id = u.build_id, worker_id = u.worker_id, wait_us = u.wait_us,
    run_us = u.run_us, cpu_us = u.cpu_us, label = u.label, reason = u.reason, traits = u.traits::jsonb, final = now()
from unnest($1::bigint[], $2::smallint[], $3::boolean[], $4::integer[], $5::integer[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::text[], $10::text[], $11::text[])
    as u (id, outcome, counted, build_id, worker_id, wait_us, run_us, cpu_us, label, reason, traits)
where job.id = u.id and job.final is null
returning job.id, job.engine_id;

-- The files of results that became final just now; what they name stays in the store.
-- name: collect_artifacts
with given as (
    select u.job_id, u.position, u.picture, u.size, u.sha256, u.name, u.mime
    from unnest($1::bigint[], $2::smallint[], $3::boolean[], $4::bigint[], $5::bytea[], $6::text[], $7::text[])
        as u (job_id, position, picture, size, sha256, name, mime)
),
named as (
    update artifact_file set named = true where sha256 in (select sha256 from given) and not named
)
insert into artifact (job_id, position, picture, size, sha256, name, mime)
select job_id, position, picture, size, sha256, name, mime from given
on conflict do nothing;

-- name: collect_lost
update job
set lost = greatest(job.lost, u.lost)
from unnest($1::bigint[], $2::smallint[]) as u (id, lost)
where job.id = u.id and job.final is null;

-- Locked in the order of ids. The scans of the batch, with what events say of them.
-- name: collect_scans
select s.id, s.pending, s.sample_id, p.sha256, p.size, s.cause, f.name, s.submitted_at, s.type
from scan s
join sample p on p.id = s.sample_id
join profile f on f.id = s.profile_id
where s.id = any($1::bigint[])
order by s.id
for no key update of s;

-- Everything that was said in scans which have all their answers now.
-- name: collect_answers
select j.id, e.name, e.kind, j.required, coalesce(j.counted, false), j.outcome, j.label, b.origin
from unnest($1::bigint[]) as u (id)
join job j on j.id >= u.id * 256 and j.id < u.id * 256 + 256
join engine e on e.id = j.engine_id
left join engine_build b on b.id = j.build_id
order by j.id;

-- name: collect_pending
update scan s
set pending = u.pending, type = coalesce(u.type, s.type)
from unnest($1::bigint[], $2::smallint[], $3::text[]) as u (id, pending, type)
where s.id = u.id;

-- name: collect_verdicts
update scan s
set pending = 0, finished_at = now(), finished_seq = nextval('scan_finished'), verdict = u.verdict,
    positives = u.positives, total = u.total, failed = u.failed, incomplete = u.incomplete, label = u.label,
    reasons = string_to_array(u.reasons, E'\x1f'), type = coalesce(u.type, s.type)
from unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::smallint[], $6::smallint[], $7::text[],
            $8::text[], $9::text[])
    as u (id, verdict, positives, total, failed, incomplete, label, reasons, type)
where s.id = u.id
returning s.id, s.finished_seq, s.finished_at;

-- name: collect_missing
insert into missing (engine_id, scan_id)
select u.engine_id, u.scan_id from unnest($1::smallint[], $2::bigint[]) as u (engine_id, scan_id)
on conflict do nothing;

-- What crashed or span in an engine's version; older than 7 days is forgotten.
-- name: collect_poison
insert into poison as p (sample_id, engine_id, version, n)
select u.sample_id, u.engine_id, u.version, count(*)
from unnest($1::bigint[], $2::smallint[], $3::text[]) as u (sample_id, engine_id, version)
group by u.sample_id, u.engine_id, u.version
on conflict (sample_id, engine_id, version) do update
set n = case when p.last_at < now() - interval '7 days' then excluded.n else p.n + excluded.n end, last_at = now();

-- Whose scans these are: for events. Looked for among the newest 1,000 submissions of the sample: one that is sent again
-- and again has very many.
-- name: collect_submissions
select m.scan_id, m.id, m.name, m.source_path, m.batch
from unnest($1::bigint[], $2::bigint[]) as u (scan_id, sample_id)
cross join lateral (
    select x.id, x.scan_id, x.name, x.source_path, x.batch
    from submission x
    where x.sample_id = u.sample_id
    order by x.id desc
    limit 1000
) m
where m.scan_id = u.scan_id
order by m.scan_id, m.id;
