// The objects of docs/api.md, as they come. Text in them may be hostile: show it through ui/hostile.tsx only.

export type Verdict = 'malicious' | 'suspicious' | 'nothing-found' | 'known-good' | 'inconclusive';

export type Outcome =
  | 'malicious'
  | 'suspicious'
  | 'undetected'
  | 'harmless'
  | 'incomplete'
  | 'type-unsupported'
  | 'timeout'
  | 'failure'
  | 'quarantined'
  | 'unavailable'
  | 'cancelled'
  | 'described';

export interface ScanBrief {
  id: number;
  status: 'queued' | 'done';
  verdict: Verdict | null;
  positives: number;
  total: number;
  failed: number;
  incomplete: number;
  pending: number;
  label: string | null;
  reasons: string[];
  type: string | null;
  profile: string;
  cause: 'submission' | 'rescan' | 'backfill';
  submitted_at: string;
  finished_at: string | null;
  seq: number | null;
}

export interface Submission {
  id: number;
  sha256: string;
  size: number;
  name: string;
  source_path: string | null;
  batch: string | null;
  tags: string[];
  visibility: string;
  owner: string;
  submitted_at: string;
  scan: ScanBrief;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Result {
  job: number;
  engine: string;
  kind: 'evilness' | 'metadata';
  status: 'queued' | 'done';
  outcome: Outcome | null;
  counted: boolean;
  required: boolean;
  cached: boolean;
  label: string | null;
  reason: string | null;
  version: string | null;
  definitions: string | null;
  origin: string | null;
  worker: string | null;
  wait_ms: number | null;
  run_ms: number | null;
  cpu_ms: number | null;
  finished_at: string | null;
  lost: number;
  traits: { [key: string]: Json } | null;
  files: DerivedFile[];
}

/** A file that an engine derived from the sample, or a picture of it. */
export interface DerivedFile {
  name: string;
  mime: string | null;
  size: number;
  sha256: string;
  picture: boolean;
}

export interface SampleReport {
  sha256: string;
  md5: string | null;
  sha1: string | null;
  size: number;
  type: string | null;
  names: string[];
  first_seen: string;
  submissions: number;
  scan: ScanBrief;
  results: Result[];
  scans: ScanBrief[];
}

export interface ScanReport extends ScanBrief {
  sha256: string;
  results: Result[];
}

export interface Engine {
  name: string;
  kind: 'evilness' | 'metadata';
  enabled: boolean;
  workers: number;
  queued: number;
  leased: number;
  reported: number;
  done: number;
  lost: number;
  oldest_ms: number;
  version: string | null;
  definitions: string | null;
  origin: string | null;
  signatures: number | null;
  age_s: number | null;
  problem: string | null;
  available: boolean;
  missing_since: string | null;
}

export interface WorkerEngine {
  name: string;
  version: string | null;
  definitions: string | null;
  origin: string | null;
  problem: string | null;
}

export interface Worker {
  name: string;
  session: number | string;
  slots: number;
  window: number;
  held: number;
  running: number;
  done: number;
  lost: number;
  silent_ms: number;
  isolation: string;
  engines: WorkerEngine[];
}

export interface Limits {
  max_sample_bytes: number;
  batch_bytes: number;
  batch_files: number;
  chunk_bytes: number;
  oneshot_bytes: number;
}

export interface Status {
  version: string;
  leader: boolean;
  epoch: number;
  uptime_s: number;
  database: { ok: boolean; detail: string | null };
  broker: { ok: boolean; uptime_s: number; jobs: number; late: number };
  brokers: { name: string; ok: boolean; uptime_s: number; jobs: number; late: number }[];
  seq: number;
  queue: { scans: number; jobs: number };
  store: { samples: number; free_bytes: number };
  signatures: { origin: string | null; note: string | null };
  limits: Limits;
}

export interface Page<T> {
  items: T[];
  next: number | null;
}

/** What a file became: one line of a batch's answer, or the last chunk's answer. */
export interface Accepted {
  sha256: string;
  submission: number;
  scan: number;
  known: boolean;
}

export interface Problem {
  type?: string;
  title?: string;
  status: number;
  code: string;
  detail: string;
  limit?: number;
  offset?: number;
}

export interface ScanEvent {
  event: 'scan';
  seq: number;
  scan: ScanBrief;
  sha256: string;
  size: number;
  submissions: { id: number; name: string; source_path: string | null; batch: string | null }[];
}
export interface ResultEvent {
  event: 'result';
  scan: number;
  sha256: string;
  engine: string;
  outcome: Outcome;
  label: string | null;
  pending: number;
}
export interface SubmissionEvent {
  event: 'submission';
  submission: Submission;
}
export interface FleetEvent {
  event: 'fleet';
}
/** Something may have been missed: read again what is shown. */
export interface LaggedEvent {
  event: 'lagged';
}
export type LiveEvent = ScanEvent | ResultEvent | SubmissionEvent | FleetEvent | LaggedEvent;
