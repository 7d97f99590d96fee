-- Statements of master's web: what event streams read. See README.md in this directory.

-- name: web_events_newest
select coalesce(max(finished_seq), 0) from scan;

-- Scans that finished after a seq, of a window that bounds the work when few are of the batch asked for ($3, null: all).
-- A scalar subquery, not EXISTS: that would be answered by a hash of the whole batch, each time.
-- The first column is the newest seq there is; without a scan in the window there is one row and the rest of it is null.
-- name: web_events_page
with hit as (
    select s.*
    from scan s
    where s.finished_seq > $1::bigint and s.finished_seq <= $1::bigint + $4::integer
      and ($3::text is null or coalesce((
          select true
          from submission m
          where m.sample_id = s.sample_id and m.scan_id = s.id and m.batch is not distinct from $3::text
          limit 1), false))
    order by s.finished_seq
    limit $2::integer
)
select t.seq,
       s.id, s.verdict, s.positives, s.total, s.failed, s.incomplete, s.pending, s.label, s.reasons, s.type, f.name,
       s.cause, s.submitted_at, s.finished_at, s.finished_seq,
       p.sha256, p.size, m.ids, m.names, m.paths, m.batches
from (select coalesce(max(finished_seq), 0) as seq from scan) t
left join hit s on true
left join sample p on p.id = s.sample_id
left join profile f on f.id = s.profile_id
left join lateral (
    select array_agg(x.id order by x.id) as ids, array_agg(x.name order by x.id) as names,
           array_agg(x.source_path order by x.id) as paths, array_agg(x.batch order by x.id) as batches
    from (
        select y.id, y.name, y.source_path, y.batch
        from submission y
        where y.sample_id = s.sample_id and y.scan_id = s.id
        order by (y.batch = $3::text) desc nulls last, y.id desc
        limit 100
    ) x
) m on true
order by s.finished_seq;
