// The upload queue: what was dropped goes to the server, small files several in a request, large ones in pieces,
// until each was taken or refused in words. It lives beside the pages: going elsewhere in the page stops nothing.
import { signal } from '@preact/signals';
import { ApiError, sentenceOf } from '../api/http';
import type { Accepted } from '../api/types';
import { limits } from '../model/status';
import { Gate } from './gate';
import { type Item, ItemError, bytesOf, refusalOf } from './item';
import { LargeUpload } from './large';
import { Pace } from './pace';
import { Aborted, type Sent, send } from './transport';
import { Verdicts } from './verdicts';
import { type Found, entriesOf, foundOf, walk } from './walk';
import { type Header, answerOf, frame, headerOf } from './wire';

/** Files of one page's life; over it the command line is the better tool, and the page says so. */
export const ITEMS_MAX = 50_000;
/** At or under this a file goes by the batch road. */
const SMALL_BYTES = 4 * 1024 * 1024;
/** One request: small enough that its progress and its repetition cost little. */
const PACK_BYTES = 6 * 1024 * 1024;
const PACK_FILES = 250;
/** Room for a frame's header, names of 4 KiB in JSON included. */
const HEADER_BYTES = 20 * 1024;
const DRAW_MS = 100;
/** Workers that take from the queue; the gate decides how many of their requests are in flight. */
const LANES = 3;

interface Packed {
  item: Item;
  header: Header;
  bytes: Uint8Array<ArrayBuffer>;
}

const randomId = (): string =>
  [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** `web-20260301-120000-1f3a`: sorts by time and says where it came from. */
const newBatch = (): string =>
  `web-${new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-')}-${randomId().slice(0, 4)}`;

export class Uploader {
  /** Goes up whenever something is to be drawn anew. */
  readonly tick = signal(0);
  readonly gate = new Gate();
  readonly items: Item[] = [];
  readonly verdicts = new Verdicts(() => this.draw());
  readonly pace = new Pace();
  /** Files that were left out because of ITEMS_MAX. */
  leftOut = 0;
  walking = 0;
  /** The batch of the latest drop: the list can be narrowed to it. */
  batch: string | null = null;
  totalBytes = 0;
  doneBytes = 0;
  /** Bytes of the files that the server took. */
  takenBytes = 0;
  readonly counts = { waiting: 0, sending: 0, sent: 0, failed: 0, withdrawn: 0 };

  private queue: Item[] = [];
  private queueHead = 0;
  private lanes = 0;
  private abort = new AbortController();
  private drawTimer = 0;

  get active(): boolean {
    return this.walking > 0 || this.counts.waiting > 0 || this.counts.sending > 0;
  }

  // ---- in ----

  async addDropped(transfer: DataTransfer): Promise<void> {
    const { entries, files } = entriesOf(transfer);
    if (!entries.length && !files.length) return;
    const batch = this.newDrop();
    files.forEach((file) => this.add(foundOf(file), batch));
    const abort = this.abort.signal;
    this.walking += 1;
    await walk(entries, (found) => this.add(found, batch), () => !abort.aborted && this.items.length < ITEMS_MAX);
    this.walking -= 1;
    this.draw();
  }

  addFiles(files: Iterable<File>): void {
    const batch = this.newDrop();
    for (const file of files) this.add(foundOf(file), batch);
  }

  private newDrop(): string {
    if (!this.active) this.clear();
    this.batch = newBatch();
    return this.batch;
  }

  private add(found: Found, batch: string): void {
    if (this.items.length >= ITEMS_MAX) {
      this.leftOut += 1;
      this.draw();
      return;
    }
    const item: Item = {
      id: this.items.length,
      name: found.name,
      path: found.path,
      size: found.file?.size ?? 0,
      batch,
      file: found.file,
      state: 'waiting',
      sentBytes: 0,
      why: '',
      retryable: false,
      accepted: null,
      scan: null,
    };
    this.items.push(item);
    this.counts.waiting += 1;
    this.totalBytes += item.size;
    if (found.file) this.enqueue(item);
    else this.fail(item, new ItemError(found.why, false));
  }

  private enqueue(item: Item): void {
    this.queue.push(item);
    while (this.lanes < LANES && this.lanes < this.queue.length - this.queueHead) {
      this.lanes += 1;
      // Later, so that a drop of many small files fills one request instead of three.
      setTimeout(() => void this.runLane(), 0);
    }
    this.draw();
  }

  // ---- controls ----

  /** Sends again what failed and may succeed now. */
  retry(): void {
    for (const item of this.items) {
      if (item.state !== 'failed' || !item.retryable) continue;
      this.setState(item, 'waiting');
      this.enqueue(item);
    }
    this.gate.open();
  }

  /** Withdraws what has not been taken yet; what was taken stays. */
  stop(): void {
    this.abort.abort();
    this.abort = new AbortController();
    this.queue = [];
    this.queueHead = 0;
    for (const item of this.items) {
      if (item.state === 'waiting' || item.state === 'sending') this.setState(item, 'withdrawn');
    }
    this.gate.open();
    this.draw();
  }

  /** Forgets everything shown; for when nothing is under way. */
  clear(): void {
    if (this.active) return;
    this.items.length = 0;
    this.queue = [];
    this.queueHead = 0;
    this.totalBytes = 0;
    this.doneBytes = 0;
    this.takenBytes = 0;
    this.leftOut = 0;
    this.batch = null;
    for (const key of Object.keys(this.counts) as (keyof typeof this.counts)[]) this.counts[key] = 0;
    this.verdicts.clear();
    this.pace.clear();
    this.draw();
  }

  // ---- out ----

  private async runLane(): Promise<void> {
    for (let next = this.takeNext(); next.length; next = this.takeNext()) {
      const first = next[0] as Item;
      if (first.size > SMALL_BYTES) await this.sendLarge(first);
      else await this.sendSmall(next);
    }
    this.lanes -= 1;
  }

  /** The next large file, or as many small ones as one request holds. */
  private takeNext(): Item[] {
    const taken: Item[] = [];
    let bytes = 0;
    while (this.queueHead < this.queue.length && taken.length < PACK_FILES) {
      const item = this.queue[this.queueHead] as Item;
      const large = item.size > SMALL_BYTES;
      if (taken.length && (large || bytes + item.size + HEADER_BYTES > PACK_BYTES)) break;
      bytes += item.size + HEADER_BYTES;
      this.queueHead += 1;
      taken.push(item);
      this.setState(item, 'sending');
      if (large) break;
    }
    if (this.queueHead > 10_000 && this.queueHead * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.queueHead);
      this.queueHead = 0;
    }
    return taken;
  }

  /** Asks again and again behind the gate while the failure is a passing one. */
  private async insist(make: () => Promise<Sent>, abort: AbortSignal): Promise<Sent> {
    for (;;) {
      await this.gate.enter();
      try {
        if (abort.aborted) throw new Aborted();
        const answer = await make();
        this.gate.succeeded();
        return answer;
      } catch (error) {
        // A browser that is signed out waits too: a new address in another tab signs this one in.
        const passing = error instanceof ApiError && (error.passing || error.status === 401);
        if (!passing) throw error;
        this.gate.refused(error);
      } finally {
        this.gate.leave();
        this.draw();
      }
    }
  }

  private async sendSmall(items: Item[]): Promise<void> {
    const abort = this.abort.signal;
    const packed: Packed[] = [];
    for (const item of items) {
      try {
        const header = headerOf(packed.length, item.name, item.size, item.path, item.batch);
        packed.push({ item, header, bytes: frame(header, await bytesOf(item, 0, item.size)) });
      } catch (error) {
        this.fail(item, error);
      }
    }
    if (!packed.length) return;
    try {
      await this.sendPack(packed, abort);
    } catch (error) {
      for (const { item } of packed) if (item.state === 'sending') this.fail(item, error);
    }
  }

  private async sendPack(packed: Packed[], abort: AbortSignal): Promise<void> {
    const body = new Blob(packed.map((one) => one.bytes), { type: 'application/octet-stream' });
    const key = `web-${randomId()}${randomId()}`;
    // An answer that broke off is asked for again: the key makes it the same answer.
    for (let left = packed.length, tries = 0; left > 0 && tries < 3; tries++) {
      const answer = await this.insist(
        () =>
          send({
            method: 'POST',
            path: '/batch',
            body,
            headers: { 'Idempotency-Key': key },
            onProgress: (bytes) => this.packProgress(packed, bytes),
            abort,
          }),
        abort,
      );
      left = this.takeAnswer(packed, answer.text);
    }
    for (const { item } of packed)
      if (item.state === 'sending') this.fail(item, new ItemError('the server gave no answer for this file', true));
  }

  private packProgress(packed: Packed[], sent: number): void {
    let start = 0;
    for (const { item, bytes } of packed) {
      const head = bytes.length - item.size;
      if (item.state === 'sending') this.progress(item, Math.max(0, Math.min(item.size, sent - start - head)));
      start += bytes.length;
    }
  }

  /** Settles every file that the answer names. Returns how many are left without a word. */
  private takeAnswer(packed: Packed[], text: string): number {
    const answer = answerOf(text);
    for (const line of answer.lines) {
      const item = packed[line.n]?.item;
      if (!item || item.state !== 'sending') continue;
      if ('accepted' in line) this.accept(item, line.accepted);
      else this.fail(item, refusalOf(line.problem.status, line.problem.detail));
    }
    const left = packed.filter(({ item }) => item.state === 'sending');
    if (answer.broken) {
      for (const { item } of left) this.fail(item, refusalOf(answer.broken.status, answer.broken.detail));
      return 0;
    }
    return left.length;
  }

  private async sendLarge(item: Item): Promise<void> {
    const abort = this.abort.signal;
    const upload = new LargeUpload(item, (make) => this.insist(make, abort), abort);
    try {
      const max = limits().max_sample_bytes;
      if (item.size > max) throw new ItemError(`it is over the limit of ${max.toLocaleString('en-GB')} bytes a file`, false);
      this.accept(item, await upload.run((bytes) => this.progress(item, bytes)));
    } catch (error) {
      this.fail(item, error);
      if (upload.path) void fetch(`/api/v1${upload.path}`, { method: 'DELETE', keepalive: true }).catch(() => {});
    }
  }

  // ---- what became of a file ----

  private setState(item: Item, state: Item['state']): void {
    this.counts[item.state] -= 1;
    this.counts[state] += 1;
    item.state = state;
    if (state !== 'sending') this.progress(item, state === 'waiting' ? 0 : item.size);
    if (state === 'sent' || state === 'withdrawn') item.file = null;
  }

  private progress(item: Item, bytes: number): void {
    this.doneBytes += bytes - item.sentBytes;
    item.sentBytes = bytes;
    this.pace.note(this.doneBytes);
    this.draw();
  }

  private accept(item: Item, accepted: Accepted): void {
    item.accepted = accepted;
    this.takenBytes += item.size;
    this.setState(item, 'sent');
    this.verdicts.expect(item);
  }

  private fail(item: Item, error: unknown): void {
    if (item.state === 'withdrawn') return;
    if (error instanceof Aborted) {
      this.setState(item, 'withdrawn');
      return;
    }
    const refusal = error instanceof ApiError ? refusalOf(error.status, error.message) : error;
    item.why = sentenceOf(refusal);
    item.retryable = refusal instanceof ItemError ? refusal.retryable : true;
    this.setState(item, 'failed');
  }

  private draw(): void {
    if (this.drawTimer) return;
    this.drawTimer = window.setTimeout(() => {
      this.drawTimer = 0;
      this.tick.value += 1;
    }, DRAW_MS);
  }
}

export const uploader = new Uploader();

/** Once per tab: closing it in mid-upload asks first. */
export function guardUnload(): void {
  addEventListener('beforeunload', (event) => {
    if (uploader.active) event.preventDefault();
  });
}
