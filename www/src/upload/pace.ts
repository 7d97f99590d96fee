// Bytes a second over the last seconds, for the rate and the time left.
const WINDOW_MS = 5_000;
const EVERY_MS = 250;

export class Pace {
  private marks: { atMs: number; bytes: number }[] = [];

  note(bytes: number, nowMs = performance.now()): void {
    const last = this.marks[this.marks.length - 1];
    if (last && nowMs - last.atMs < EVERY_MS) return;
    this.marks.push({ atMs: nowMs, bytes });
    while (this.marks.length > 2 && nowMs - (this.marks[0]?.atMs ?? nowMs) > WINDOW_MS) this.marks.shift();
  }

  /** null: too early to say. */
  bytesPerSecond(): number | null {
    const first = this.marks[0];
    const last = this.marks[this.marks.length - 1];
    if (!first || !last || last.atMs - first.atMs < 1000) return null;
    return Math.max(0, ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs));
  }

  clear(): void {
    this.marks = [];
  }
}
