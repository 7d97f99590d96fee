// The list of submissions under one filter: loaded by pages, kept true by events. New rows enter at once while the
// reader is at the top, and wait otherwise, so that nothing moves under the eyes.
import { signal } from '@preact/signals';
import { ApiError, get } from '../api/http';
import { onEvents } from '../api/live';
import type { Page, Submission } from '../api/types';
import { type Changes, type Filter, apply, changesOf, filterKey, find, merge, passes } from './rows';

const PAGE = 100;
/** Rows kept; loading on stops there and says so. */
export const ROWS_MAX = 20_000;
/** At the top new rows push the oldest out from here on, so that a day of events does not fill the tab. */
const ROWS_LIVE = 2_000;
/** New rows that wait; over it the newest page is loaded instead when they are asked for. */
const WAITING_MAX = 500;
/** Rows read again after a gap; older ones are read again when the list is opened anew. */
const REREAD_MAX = 1_000;

export type ListState = 'loading' | 'ready' | 'failed';

export class SubmissionList {
  readonly filter: Filter;
  readonly rows = signal<Submission[]>([]);
  readonly waiting = signal<Submission[]>([]);
  /** More rows wait than are kept: `500+`. */
  readonly waitingOver = signal(false);
  readonly state = signal<ListState>('loading');
  readonly error = signal<ApiError | null>(null);
  readonly loadingMore = signal(false);
  readonly moreError = signal<ApiError | null>(null);
  readonly atEnd = signal(false);
  /** True while the first row is in view: new rows may enter. */
  atTop = true;
  /** The view's own: where it was scrolled to, which row the keyboard is on. */
  scrollTop = 0;
  readonly cursor = signal<number | null>(null);

  private next: number | null = null;
  private rereading = false;
  private rereadAgain = false;
  /** Events came while the first page was on its way: it may lack them. */
  private missed = false;
  private readonly unhear: () => void;

  constructor(filter: Filter) {
    this.filter = filter;
    this.unhear = onEvents((events) => this.hear(changesOf(events)));
    void this.load();
  }

  close(): void {
    this.unhear();
  }

  private path(limit: number, before: number | null): string {
    const query = new URLSearchParams({ limit: String(limit) });
    if (before !== null) query.set('before', String(before));
    for (const key of ['batch', 'verdict', 'q'] as const) if (this.filter[key]) query.set(key, this.filter[key]);
    return `/submissions?${query}`;
  }

  /** The newest page, from nothing. */
  async load(): Promise<void> {
    this.state.value = 'loading';
    this.error.value = null;
    this.missed = false;
    try {
      const page = await get<Page<Submission>>(this.path(PAGE, null));
      this.rows.value = page.items;
      this.next = page.next;
      this.atEnd.value = page.next === null;
      this.waiting.value = [];
      this.waitingOver.value = false;
      this.state.value = 'ready';
      if (this.missed) void this.reread();
    } catch (error) {
      this.error.value = error as ApiError;
      this.state.value = 'failed';
    }
  }

  async loadMore(): Promise<void> {
    if (this.loadingMore.value || this.next === null || this.rows.value.length >= ROWS_MAX) return;
    this.loadingMore.value = true;
    this.moreError.value = null;
    try {
      const page = await get<Page<Submission>>(this.path(PAGE, this.next));
      this.rows.value = merge(this.rows.value, page.items);
      this.next = page.next;
      this.atEnd.value = page.next === null;
    } catch (error) {
      this.moreError.value = error as ApiError;
    } finally {
      this.loadingMore.value = false;
    }
  }

  /** Lets the waiting rows in: the reader asked for them. */
  showWaiting(): void {
    if (this.waitingOver.value) void this.load();
    else this.rows.value = merge(this.rows.value, this.waiting.value);
    this.waiting.value = [];
    this.waitingOver.value = false;
    this.atTop = true;
    this.scrollTop = 0;
  }

  private hear(changes: Changes): void {
    if (this.state.value !== 'ready') {
      this.missed = true;
      if (this.state.value === 'failed' && changes.lagged) void this.load();
      return;
    }
    if (changes.lagged) void this.reread();
    const rows = apply(this.rows.value, changes);
    if (rows !== this.rows.value) this.rows.value = rows;
    if (this.waiting.value.length) this.waiting.value = apply(this.waiting.value, changes);
    this.admit(changes.fresh.filter((row) => passes(row, this.filter) && find(rows, row.id) < 0));
  }

  /** New rows: in at the top, or to those that wait. Rows older than the last one loaded come with their page. */
  private admit(fresh: Submission[]): void {
    const last = this.rows.value[this.rows.value.length - 1];
    const fitting = this.atEnd.value || !last ? fresh : fresh.filter((row) => row.id > last.id);
    if (!fitting.length) return;
    if (this.atTop) {
      this.rows.value = this.bounded(merge(this.rows.value, fitting));
      return;
    }
    const waiting = merge(this.waiting.value, fitting);
    if (waiting.length > WAITING_MAX) this.waitingOver.value = true;
    this.waiting.value = waiting.slice(0, WAITING_MAX);
  }

  private bounded(rows: Submission[]): Submission[] {
    if (rows.length <= ROWS_LIVE) return rows;
    const kept = rows.slice(0, ROWS_LIVE);
    this.next = (kept[kept.length - 1] as Submission).id;
    this.atEnd.value = false;
    return kept;
  }

  /** After a gap: reads again what is shown, as far as REREAD_MAX. One at a time; a gap meanwhile asks once more. */
  private async reread(): Promise<void> {
    if (this.rereading) {
      this.rereadAgain = true;
      return;
    }
    this.rereading = true;
    try {
      await this.rereadPages(Math.min(this.rows.value.length, REREAD_MAX));
      this.error.value = null;
    } catch (error) {
      this.error.value = error as ApiError;
    }
    this.rereading = false;
    if (this.rereadAgain) {
      this.rereadAgain = false;
      void this.reread();
    }
  }

  private async rereadPages(want: number): Promise<void> {
    let before: number | null = null;
    let seen = 0;
    do {
      const page: Page<Submission> = await get<Page<Submission>>(this.path(PAGE, before));
      const fresh = { fresh: page.items, progress: new Map(), lagged: false };
      this.rows.value = apply(this.rows.value, fresh);
      this.admit(page.items.filter((row) => find(this.rows.value, row.id) < 0));
      before = page.next;
      seen += page.items.length;
    } while (before !== null && seen < want);
  }
}

/** Lists stay while the tab lives, so that going back finds the same rows at the same place. */
const LISTS_MAX = 4;
const lists = new Map<string, SubmissionList>();

export function listFor(filter: Filter): SubmissionList {
  const key = filterKey(filter);
  const known = lists.get(key);
  if (known) {
    lists.delete(key);
    lists.set(key, known);
    return known;
  }
  const list = new SubmissionList(filter);
  lists.set(key, list);
  if (lists.size > LISTS_MAX) {
    const oldest = lists.keys().next().value as string;
    lists.get(oldest)?.close();
    lists.delete(oldest);
  }
  return list;
}
