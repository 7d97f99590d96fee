// Rows of the list of submissions: newest first, by id. Pure: arrays in, arrays out.
import type { LiveEvent, ScanBrief, ScanEvent, Submission } from '../api/types';

export interface Filter {
  batch: string;
  verdict: string;
  q: string;
}

export const filterKey = (filter: Filter): string => JSON.stringify([filter.batch, filter.verdict, filter.q]);

/** True when the server would list the row under the filter. */
export function passes(row: Submission, filter: Filter): boolean {
  if (filter.batch && row.batch !== filter.batch) return false;
  if (filter.verdict && row.scan.verdict !== filter.verdict) return false;
  if (!filter.q) return true;
  const q = filter.q.toLowerCase();
  return row.name.toLowerCase().includes(q) || row.sha256 === q;
}

/** Where id is in rows, or where it belongs (as -1 - place). */
export function find(rows: readonly Submission[], id: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle] as Submission).id > id) low = middle + 1;
    else high = middle;
  }
  return rows[low]?.id === id ? low : -1 - low;
}

/** Newer over older: an event may arrive after the page that holds its outcome already. */
function newer(a: Submission, b: Submission): Submission {
  if (a.scan.id !== b.scan.id) return a.scan.id > b.scan.id ? a : b;
  if (a.scan.status !== b.scan.status) return a.scan.status === 'done' ? a : b;
  return b;
}

/** Puts more into rows; what is there twice stays once, the newer of the two. */
export function merge(rows: readonly Submission[], more: readonly Submission[]): Submission[] {
  if (!more.length) return rows as Submission[];
  const byId = new Map<number, Submission>();
  for (const row of rows) byId.set(row.id, row);
  for (const row of more) {
    const old = byId.get(row.id);
    byId.set(row.id, old ? newer(old, row) : row);
  }
  return [...byId.values()].sort((a, b) => b.id - a.id);
}

/** The row that a verdict's event describes: enough for the list. */
function rowOf(event: ScanEvent, i: number): Submission {
  const named = event.submissions[i] as ScanEvent['submissions'][number];
  return {
    ...named,
    sha256: event.sha256,
    size: event.size,
    tags: [],
    visibility: '',
    owner: '',
    submitted_at: event.scan.submitted_at,
    scan: event.scan,
  };
}

export interface Changes {
  /** Rows that events brought or renewed, whole. */
  fresh: Submission[];
  /** Scan id -> jobs that are still open, and a label when there is one. */
  progress: Map<number, { pending: number; label: string | null }>;
  lagged: boolean;
}

export function changesOf(events: readonly LiveEvent[]): Changes {
  const fresh = new Map<number, Submission>();
  const progress: Changes['progress'] = new Map();
  let lagged = false;
  for (const event of events) {
    if (event.event === 'lagged') lagged = true;
    else if (event.event === 'submission') fresh.set(event.submission.id, event.submission);
    else if (event.event === 'result') {
      const label = event.label ?? progress.get(event.scan)?.label ?? null;
      progress.set(event.scan, { pending: event.pending, label });
    } else if (event.event === 'scan') {
      for (let i = 0; i < event.submissions.length; i++) {
        const row = rowOf(event, i);
        const known = fresh.get(row.id);
        fresh.set(row.id, known ? { ...known, scan: event.scan } : row);
      }
    }
  }
  return { fresh: [...fresh.values()], progress, lagged };
}

/** Renews rows in place. Rows that no event concerns keep their identity, so that they are not drawn again. */
export function apply(rows: readonly Submission[], changes: Changes): Submission[] {
  let next: Submission[] | null = null;
  const put = (i: number, row: Submission): void => {
    next ??= [...rows];
    next[i] = row;
  };
  for (const row of changes.fresh) {
    const i = find(rows, row.id);
    const old = rows[i];
    // Keep what only the whole row knows (owner, tags): a verdict's event names less.
    if (old) put(i, { ...old, scan: newer(old, { ...old, scan: row.scan }).scan });
  }
  if (changes.progress.size) {
    rows.forEach((was, i) => {
      const row = next?.[i] ?? was;
      const step = row.scan.status === 'queued' ? changes.progress.get(row.scan.id) : undefined;
      if (step) put(i, { ...row, scan: stepped(row.scan, step) });
    });
  }
  return next ?? (rows as Submission[]);
}

function stepped(scan: ScanBrief, step: { pending: number; label: string | null }): ScanBrief {
  return { ...scan, pending: Math.min(scan.pending, step.pending), label: step.label ?? scan.label };
}
