// One file on its way.
import type { Accepted, ScanBrief } from '../api/types';

export type ItemState = 'waiting' | 'sending' | 'sent' | 'failed' | 'withdrawn';

export interface Item {
  id: number;
  name: string;
  path: string | null;
  size: number;
  batch: string;
  file: File | null;
  state: ItemState;
  /** Bytes that have left, of size. */
  sentBytes: number;
  /** failed: why, in words, and whether pressing "retry" makes sense. */
  why: string;
  retryable: boolean;
  accepted: Accepted | null;
  /** Once its scan is done. */
  scan: ScanBrief | null;
}

/** What is read or refused about one file alone. */
export class ItemError extends Error {
  readonly retryable: boolean;
  constructor(why: string, retryable: boolean) {
    super(why);
    this.retryable = retryable;
  }
}

/** The file's bytes from a to b, now: a file that changed or vanished since it was dropped fails here, alone. */
export async function bytesOf(item: Item, from: number, to: number): Promise<ArrayBuffer> {
  let bytes: ArrayBuffer;
  try {
    bytes = await (item.file as File).slice(from, to).arrayBuffer();
  } catch {
    throw new ItemError('it could not be read: it vanished, changed or is not yours to read. Drop it again', false);
  }
  if (bytes.byteLength !== to - from) throw new ItemError('it changed while it was being read. Drop it again', false);
  return bytes;
}

/** A refusal in words, for one file. */
export function refusalOf(status: number, detail: string): ItemError {
  if (status === 507) return new ItemError(`the disk is full there: ${detail}. Nothing of this file was kept`, true);
  return new ItemError(detail, status === 0 || status === 409 || status >= 500);
}
