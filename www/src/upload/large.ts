// A large file: opened by POST, sent in pieces by PATCH, and after a break continued where the server says it is.
import { ApiError } from '../api/http';
import type { Accepted } from '../api/types';
import { limits } from '../model/status';
import { type Item, bytesOf } from './item';
import { type Sent, send } from './transport';
import { headerOf } from './wire';

const CHUNK_MAX = 16 * 1024 * 1024;
/** 409s in a row without a byte's progress: the two sides do not agree, and never will. */
const DISPUTES_MAX = 5;

/** Runs a request behind the gate, again and again while it fails in passing. */
export type Insist = (make: () => Promise<Sent>) => Promise<Sent>;

function offsetOf(header: string | null): number | null {
  const said = header === null ? Number.NaN : Number(header);
  return Number.isSafeInteger(said) && said >= 0 ? said : null;
}

interface Opened {
  id: string | number;
  offset: number;
  chunk_bytes?: number;
}

export class LargeUpload {
  private readonly item: Item;
  private readonly insist: Insist;
  private readonly abort: AbortSignal;
  private id: string | number | null = null;
  private offset = 0;
  private chunk = limits().chunk_bytes;

  constructor(item: Item, insist: Insist, abort: AbortSignal) {
    this.item = item;
    this.insist = insist;
    this.abort = abort;
  }

  /** What to give up on the server when this upload is withdrawn. */
  get path(): string | null {
    return this.id === null ? null : `/uploads/${encodeURIComponent(String(this.id))}`;
  }

  async run(onProgress: (bytes: number) => void): Promise<Accepted> {
    let disputes = 0;
    for (;;) {
      if (this.id === null) await this.open();
      try {
        const done = await this.sendChunk(onProgress);
        if (done) return done;
        disputes = 0;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        disputes += 1;
        if (disputes > DISPUTES_MAX || !(await this.recovered(error))) throw error;
        onProgress(Math.min(this.offset, this.item.size));
      }
    }
  }

  private async open(): Promise<void> {
    const { n: _n, ...options } = headerOf(0, this.item.name, this.item.size, this.item.path, this.item.batch);
    const answer = await this.insist(() =>
      send({
        method: 'POST',
        path: '/uploads',
        body: JSON.stringify(options),
        headers: { 'Content-Type': 'application/json' },
        abort: this.abort,
      }),
    );
    const opened = JSON.parse(answer.text) as Opened;
    this.id = opened.id;
    this.offset = opened.offset;
    this.chunk = Math.min(opened.chunk_bytes ?? this.chunk, CHUNK_MAX);
  }

  /** Sends the next piece. Returns what the file became with the last one. */
  private async sendChunk(onProgress: (bytes: number) => void): Promise<Accepted | null> {
    const from = this.offset;
    const body = new Blob([await bytesOf(this.item, from, Math.min(from + this.chunk, this.item.size))]);
    // A try whose answer was lost may have stored its bytes: the next one is told so by a 409, with the offset.
    const answer = await this.insist(() =>
      send({
        method: 'PATCH',
        path: this.path as string,
        body,
        headers: { 'Upload-Offset': String(from), 'Content-Type': 'application/octet-stream' },
        onProgress: (bytes) => onProgress(Math.min(from + bytes, this.item.size)),
        abort: this.abort,
      }),
    );
    const json = JSON.parse(answer.text) as { offset: number } & Partial<Accepted>;
    this.offset = json.offset;
    onProgress(this.offset);
    return json.sha256 !== undefined ? (json as Accepted) : null;
  }

  /** 409: goes on where the server is. 404 or 410: it forgot the upload; from the start. */
  private async recovered(error: ApiError): Promise<boolean> {
    if (error.status === 404 || error.status === 410) {
      this.id = null;
      return true;
    }
    if (error.status !== 409) return false;
    let offset = error.problem?.offset ?? null;
    if (offset === null) {
      const answer = await this.insist(() => send({ method: 'HEAD', path: this.path as string, abort: this.abort }));
      offset = offsetOf(answer.header('Upload-Offset'));
    }
    if (offset === null || offset > this.item.size) return false;
    this.offset = offset;
    return true;
  }
}
