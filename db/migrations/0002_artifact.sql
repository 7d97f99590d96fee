-- 0002: files that engines derived from samples.

create table artifact_file ( -- bytes that lie in the store, below derived/
    sha256  bytea primary key check (octet_length(sha256) = 32),
    size    bigint not null check (size >= 0),
    kept_at timestamptz not null default now(), -- when a worker named it last, while no result does
    named   boolean not null default false      -- a result names it: it stays
);
-- What no result names is swept after a day.
create index artifact_file_unnamed on artifact_file (kept_at) where not named;

-- The files of a result, written in the transaction that makes it final. No foreign keys, as in job.
create table artifact (
    job_id   bigint not null,   -- job
    position smallint not null, -- in the order of the engine's reports
    picture  boolean not null,
    size     bigint not null,
    sha256   bytea not null,    -- artifact_file
    name     text not null,     -- one component; valid UTF-8
    mime     text,              -- the engine's word
    primary key (job_id, position)
);
create index artifact_by_sha256 on artifact (sha256, job_id);
