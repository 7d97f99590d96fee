-- Statements of master's web: lists and reports. See README.md in this directory.
-- Who may see a submission: everyone ($account and $team are asked for everywhere), its team, its owner.

-- Submissions before an id, newest first, out of a window of the newest ones (so that a rare verdict or name costs a
-- bounded piece of work). A back-filled scan stands for the one that it completes. The first two columns tell where
-- the window ended; without a hit there is one row and the rest of it is null.
-- $1 before, $2 limit, $3 window, $4 account, $5 team, $6 batch, $7 verdict (0: unfinished), $8 sha256,
-- $9 text in name, label or tag, $10 engine that was missing; from $6 on null: any.
-- name: web_read_submissions
with w as materialized (
    select m.*
    from submission m
    where m.id < $1::bigint
      and (m.visibility = 0 or m.owner_id = $4::bigint or (m.visibility = 1 and m.team_id = $5::bigint))
      and ($6::text is null or m.batch = $6::text)
      and ($8::bytea is null or m.sample_id = (select id from sample where sha256 = $8::bytea))
    order by m.id desc
    limit $3::integer
),
hit as (
    select m.id, p.sha256, p.size, m.name, m.source_path, m.batch, m.tags, m.visibility, a.name as owner,
           m.submitted_at as at, s.id as scan, s.verdict, s.positives, s.total, s.failed, s.incomplete, s.pending,
           s.label, s.reasons, s.type, f.name as profile, s.cause, s.submitted_at, s.finished_at, s.finished_seq
    from w m
    join sample p on p.id = m.sample_id
    join account a on a.id = m.owner_id
    join scan o on o.id = m.scan_id
    left join lateral (
        select b.id
        from scan b
        where b.sample_id = m.sample_id and b.id > o.id and b.cause = 3 and b.set_id = o.set_id
          and b.finished_at is not null
        order by b.id desc
        limit 1
    ) n on true
    join scan s on s.id = coalesce(n.id, o.id)
    join profile f on f.id = s.profile_id
    where ($7::smallint is null or coalesce(s.verdict, 0) = $7::smallint)
      and ($9::text is null or m.name ilike $9::text or s.label ilike $9::text
           or exists (select from unnest(m.tags) t where t ilike $9::text))
      and ($10::text is null or exists (
          select from missing x join engine e on e.id = x.engine_id where x.scan_id = s.id and e.name = $10::text))
    order by m.id desc
    limit $2::integer
)
select (select min(id) from w), (select count(*) from w), hit.*
from (select) one
left join hit on true
order by hit.id desc;

-- The newest of a range of ids, for SUBMISSION events.
-- name: web_read_range
select m.id, p.sha256, p.size, m.name, m.source_path, m.batch, m.tags, m.visibility, a.name,
       m.submitted_at, s.id, s.verdict, s.positives, s.total, s.failed, s.incomplete, s.pending,
       s.label, s.reasons, s.type, f.name, s.cause, s.submitted_at, s.finished_at, s.finished_seq
from (select * from submission where id >= $1::bigint and id <= $2::bigint order by id desc limit $3::integer) m
join sample p on p.id = m.sample_id
join account a on a.id = m.owner_id
join scan s on s.id = m.scan_id
join profile f on f.id = s.profile_id
order by m.id;

-- name: web_read_submission
select m.id, p.sha256, p.size, m.name, m.source_path, m.batch, m.tags, m.visibility, a.name,
       m.submitted_at, s.id, s.verdict, s.positives, s.total, s.failed, s.incomplete, s.pending,
       s.label, s.reasons, s.type, f.name, s.cause, s.submitted_at, s.finished_at, s.finished_seq
from submission m
join sample p on p.id = m.sample_id
join account a on a.id = m.owner_id
join scan o on o.id = m.scan_id
left join lateral (
    select b.id
    from scan b
    where b.sample_id = m.sample_id and b.id > o.id and b.cause = 3 and b.set_id = o.set_id
      and b.finished_at is not null
    order by b.id desc
    limit 1
) n on true
join scan s on s.id = coalesce(n.id, o.id)
join profile f on f.id = s.profile_id
where m.id = $1::bigint
  and (m.visibility = 0 or m.owner_id = $2::bigint or (m.visibility = 1 and m.team_id = $3::bigint));

-- Judges first.
-- name: web_read_results
select j.id, e.name, e.kind, j.outcome, j.counted, j.required, j.cached, j.label, j.reason, b.version, b.definitions,
       b.origin, w.name, j.wait_us, j.run_us, j.cpu_us, j.final, j.lost, j.traits, f.files
from job j
join engine e on e.id = j.engine_id
left join engine_build b on b.id = j.build_id
left join worker_name w on w.id = j.worker_id
left join lateral (
    select json_agg(json_build_object('name', a.name, 'mime', a.mime, 'size', a.size,
                                      'sha256', encode(a.sha256, 'hex'), 'picture', a.picture)
                    order by a.position) as files
    from artifact a
    where a.job_id = j.id
) f on true
where j.id >= $1::bigint * 256 and j.id < $1::bigint * 256 + 256
order by e.kind, e.name;

-- A sample that the caller may see a submission of: at most 10,000 of them are counted, the newest 200 asked for names.
-- name: web_read_sample
select p.id, p.sha256, p.size, p.first_seen, v.n, v.names
from sample p
cross join lateral (
    select (select count(*)
            from (select from submission m
                  where m.sample_id = p.id
                    and (m.visibility = 0 or m.owner_id = $2::bigint or (m.visibility = 1 and m.team_id = $3::bigint))
                  limit 10000) x) as n,
           (select array_agg(y.name order by y.id desc)
            from (select x.name, max(x.id) as id
                  from (select m.name, m.id
                        from submission m
                        where m.sample_id = p.id
                          and (m.visibility = 0 or m.owner_id = $2::bigint
                               or (m.visibility = 1 and m.team_id = $3::bigint))
                        order by m.id desc
                        limit 200) x
                  group by x.name
                  order by max(x.id) desc
                  limit 25) y) as names
) v
where p.sha256 = $1::bytea and v.n > 0;

-- The newest scans of a sample; back-fills that have not finished yet stand at the end of what matters, and are left out.
-- name: web_read_scans
select s.id, s.verdict, s.positives, s.total, s.failed, s.incomplete, s.pending, s.label, s.reasons, s.type, f.name,
       s.cause, s.submitted_at, s.finished_at, s.finished_seq
from scan s
join profile f on f.id = s.profile_id
where s.sample_id = $1::bigint and (s.cause <> 3 or s.finished_at is not null)
order by s.id desc
limit 20;

-- name: web_read_scan
select s.id, s.verdict, s.positives, s.total, s.failed, s.incomplete, s.pending, s.label, s.reasons, s.type, f.name,
       s.cause, s.submitted_at, s.finished_at, s.finished_seq, p.sha256, p.size
from scan s
join sample p on p.id = s.sample_id
join profile f on f.id = s.profile_id
where s.id = $1::bigint
  and exists (select from submission m
              where m.sample_id = s.sample_id
                and (m.visibility = 0 or m.owner_id = $2::bigint or (m.visibility = 1 and m.team_id = $3::bigint)));

-- A derived file that the caller may see the report of, by its newest name.
-- $1 sha256, $2 account, $3 team
-- name: web_read_artifact
select a.name, a.mime, a.picture, a.size
from artifact a
join scan s on s.id = a.job_id / 256
where a.sha256 = $1::bytea
  and exists (select from submission m
              where m.sample_id = s.sample_id
                and (m.visibility = 0 or m.owner_id = $2::bigint or (m.visibility = 1 and m.team_id = $3::bigint)))
order by a.job_id desc
limit 1;
