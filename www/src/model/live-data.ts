// Something read from the server and kept true: read at once, again when events say so, and at most once at a time.
import { type Signal, signal } from '@preact/signals';
import { ApiError, NO_ANSWER, get } from '../api/http';
import { onEvents } from '../api/live';
import type { LiveEvent } from '../api/types';

export class LiveData<T> {
  readonly value: Signal<T | null> = signal(null);
  readonly error = signal<ApiError | null>(null);

  private readonly path: string;
  private readonly abort = new AbortController();
  private readonly unhear: () => void;
  private timer = 0;
  private reading = false;
  private again = false;

  /** stale tells which events make a new reading necessary; gatherMs gathers a burst of them into one. */
  constructor(path: string, stale: (event: LiveEvent) => boolean, gatherMs = 150) {
    this.path = path;
    this.unhear = onEvents((events) => {
      if (events.some((event) => event.event === 'lagged' || stale(event))) this.soon(gatherMs);
    });
    void this.read();
  }

  close(): void {
    this.unhear();
    this.abort.abort();
    clearTimeout(this.timer);
  }

  private soon(ms: number): void {
    if (this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      void this.read();
    }, ms);
  }

  async read(): Promise<void> {
    if (this.reading) {
      this.again = true;
      return;
    }
    this.reading = true;
    try {
      this.value.value = await get<T>(this.path, this.abort.signal);
      this.error.value = null;
    } catch (error) {
      if (!this.abort.signal.aborted) this.error.value = error instanceof ApiError ? error : new ApiError(0, NO_ANSWER);
    }
    this.reading = false;
    if (this.again && !this.abort.signal.aborted) {
      this.again = false;
      this.soon(50);
    }
  }
}
