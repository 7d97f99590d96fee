-- Statements of master's web: who is signed in, what there is. See README.md in this directory.

-- A signed-in browser, and how long it stays so, in milliseconds.
-- name: web_session
select account_id, (extract(epoch from expires_at - now()) * 1000)::bigint
from session
where token_hash = $1::bytea and expires_at > now();

-- name: web_session_new
with gone as (delete from session where expires_at < now())
insert into session (token_hash, account_id, expires_at)
values ($1::bytea, $2::bigint, now() + $3::bigint * interval '1 second');

-- The newest finished scan; what waits (counted up to $1 scans); how many samples, about when there are many.
-- name: web_status
select (select coalesce(max(finished_seq), 0) from scan), q.scans, q.jobs,
       (select case when c.reltuples >= 20000 then c.reltuples::bigint
                    else (select count(*) from (select from sample limit 20000) x) end
        from pg_class c where c.oid = 'sample'::regclass)
from (select count(*) as scans, coalesce(sum(u.pending), 0)::bigint as jobs
      from (select pending from scan where finished_at is null limit $1::integer) u) q;

-- name: web_profiles
select p.name, coalesce(p.engines, (select array_agg(e.name order by e.id) from engine e where e.enabled)), p.required,
       p.deadline_ms
from profile p
order by p.id;

-- name: web_engines
select name, kind, enabled from engine order by name;

-- An upload, and what became of it when it is complete.
-- name: web_upload
select u.size, u.submission_id, p.sha256, m.scan_id
from upload u
left join submission m on m.id = u.submission_id
left join sample p on p.id = m.sample_id
where u.id = $1::text and u.owner_id = $2::bigint;
