// What the scans of the files just sent say, as they finish. A scan may be done before the upload's answer is read,
// so verdicts that nobody waits for yet are kept for a while; after a gap in the events the server is asked.
import { get } from '../api/http';
import { onEvents } from '../api/live';
import type { LiveEvent, Page, ScanBrief, Submission, Verdict } from '../api/types';
import type { Item } from './item';

const EARLY_MAX = 20_000;
const PAGE = 200;

export class Verdicts {
  readonly found = new Map<Verdict, number>();
  done = 0;
  /** By submission id: files whose scan is not done. */
  private open = new Map<number, Item>();
  private early = new Map<number, ScanBrief>();
  private readonly changed: () => void;
  private asking = false;

  constructor(changed: () => void) {
    this.changed = changed;
    onEvents((events) => this.hear(events));
  }

  get pending(): number {
    return this.open.size;
  }

  expect(item: Item): void {
    const id = item.accepted?.submission;
    if (id === undefined) return;
    this.open.set(id, item);
    const scan = this.early.get(id);
    if (scan) this.settle(id, scan);
  }

  clear(): void {
    this.found.clear();
    this.done = 0;
    this.open.clear();
    this.early.clear();
  }

  private settle(id: number, scan: ScanBrief): void {
    const item = this.open.get(id);
    if (!item || !scan.verdict) return;
    item.scan = scan;
    this.open.delete(id);
    this.done += 1;
    this.found.set(scan.verdict, (this.found.get(scan.verdict) ?? 0) + 1);
    this.changed();
  }

  private hear(events: LiveEvent[]): void {
    for (const event of events) {
      if (event.event === 'lagged') void this.ask();
      if (event.event !== 'scan') continue;
      for (const { id } of event.submissions) {
        if (this.open.has(id)) this.settle(id, event.scan);
        else this.keepEarly(id, event.scan);
      }
    }
  }

  private keepEarly(id: number, scan: ScanBrief): void {
    this.early.set(id, scan);
    if (this.early.size > EARLY_MAX) this.early.delete(this.early.keys().next().value as number);
  }

  /** Reads the submissions of every batch that still waits. */
  private async ask(): Promise<void> {
    if (this.asking || !this.open.size) return;
    this.asking = true;
    try {
      for (const batch of new Set([...this.open.values()].map((item) => item.batch))) await this.askBatch(batch);
    } catch {
      // The next gap, or the next event, will do.
    }
    this.asking = false;
  }

  private async askBatch(batch: string): Promise<void> {
    for (let before: number | null = null; this.open.size; ) {
      const from: string = before === null ? '' : `&before=${before}`;
      const page: Page<Submission> = await get<Page<Submission>>(
        `/submissions?limit=${PAGE}&batch=${encodeURIComponent(batch)}${from}`,
      );
      for (const row of page.items) if (row.scan.status === 'done') this.settle(row.id, row.scan);
      before = page.next;
      if (before === null) return;
    }
  }
}
