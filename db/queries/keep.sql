-- Statements of master's keep (master/scan/keep.c). See README.md in this directory.

-- Which of these are in the store. One that no result names yet gets another day.
-- name: keep_known
with touched as (
    update artifact_file set kept_at = now() where sha256 = any($1::bytea[]) and not named returning sha256
)
select sha256 from touched
union all
select sha256 from artifact_file where sha256 = any($1::bytea[]) and named;

-- name: keep_add
insert into artifact_file (sha256, size)
select u.sha256, u.size from unnest($1::bytea[], $2::bigint[]) as u (sha256, size)
on conflict (sha256) do update set kept_at = now();

-- What no result named within a day: their results never came.
-- name: keep_sweep
delete from artifact_file f
where f.sha256 in (
    select x.sha256
    from artifact_file x
    where not x.named and x.kept_at < now() - interval '1 day'
      and not exists (select from artifact a where a.sha256 = x.sha256)
    order by x.kept_at
    limit 256
    for update skip locked
)
returning f.sha256;
