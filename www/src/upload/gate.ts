// How many requests are in flight, and when the next may go: the server says, by what it answers. 429 and 503 halve
// the width and close the gate for as long as asked; good answers open it again by and by.
import { signal } from '@preact/signals';
import type { ApiError } from '../api/http';

export const WIDTH_MAX = 3; // of a browser's six connections: one is the event stream, some are for the page
const GOOD_TO_WIDEN = 8;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;

export interface Wait {
  why: string;
  untilMs: number;
}

export class Gate {
  /** Why nothing is sent just now; null: it is. */
  readonly wait = signal<Wait | null>(null);
  private width = WIDTH_MAX;
  private taken = 0;
  private good = 0;
  private backoffMs = BACKOFF_FIRST_MS;
  private timer = 0;
  private queue: (() => void)[] = [];

  /** Resolves when a request may go. Give it back with leave(). */
  enter(): Promise<void> {
    return new Promise((go) => {
      this.queue.push(go);
      this.pump();
    });
  }

  leave(): void {
    this.taken -= 1;
    this.pump();
  }

  succeeded(): void {
    this.backoffMs = BACKOFF_FIRST_MS;
    this.good += 1;
    if (this.good >= GOOD_TO_WIDEN && this.width < WIDTH_MAX) {
      this.width += 1;
      this.good = 0;
      this.pump();
    }
  }

  /** The server is busy or away. Other requests that fail meanwhile do not lengthen the wait twice. */
  refused(error: ApiError): void {
    this.good = 0;
    if (this.wait.value) return;
    this.width = Math.max(1, this.width >> 1);
    const ms = error.retryAfter === null ? this.backoffMs : Math.max(250, error.retryAfter * 1000);
    this.backoffMs = Math.min(this.backoffMs * 2, BACKOFF_MAX_MS);
    this.wait.value = { why: error.message, untilMs: Date.now() + ms };
    this.timer = window.setTimeout(() => this.open(), ms);
  }

  /** Ends the wait: it is over, or somebody pressed "try now". */
  open(): void {
    clearTimeout(this.timer);
    this.wait.value = null;
    this.pump();
  }

  private pump(): void {
    while (!this.wait.value && this.taken < this.width && this.queue.length) {
      this.taken += 1;
      (this.queue.shift() as () => void)();
    }
  }
}
