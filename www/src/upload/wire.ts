// The batch road's bytes: {u32 big-endian header length, JSON header, bytes} again and again; and its answer, a
// JSON line per file. See docs/api.md.
import type { Accepted, Problem } from '../api/types';
import { wellFormed } from '../ui/visible';

export interface Header {
  n: number;
  name: string;
  size: number;
  source_path?: string;
  batch: string;
  priority: 'interactive';
}

export function headerOf(n: number, name: string, size: number, path: string | null, batch: string): Header {
  const header: Header = { n, name: wellFormed(name), size, batch, priority: 'interactive' };
  if (path) header.source_path = wellFormed(path);
  return header;
}

/** One file of a batch. */
export function frame(header: Header, bytes: ArrayBuffer): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(4 + text.length + bytes.byteLength);
  new DataView(out.buffer).setUint32(0, text.length);
  out.set(text, 4);
  out.set(new Uint8Array(bytes), 4 + text.length);
  return out;
}

export type Line = { n: number; accepted: Accepted } | { n: number; problem: Problem };

export interface Answer {
  lines: Line[];
  /** The server could not read on: what it said about it. */
  broken: Problem | null;
}

/** Reads the answer; a last line that was cut off by a lost connection is left out. */
export function answerOf(text: string): Answer {
  const answer: Answer = { lines: [], broken: null };
  for (const line of text.split('\n')) {
    if (!line.trim()) continue;
    let json: { n: number | null; problem?: Problem } & Partial<Accepted>;
    try {
      json = JSON.parse(line);
    } catch {
      continue;
    }
    if (json.n === null) answer.broken = json.problem ?? null;
    else if (json.problem) answer.lines.push({ n: json.n, problem: json.problem });
    else answer.lines.push({ n: json.n, accepted: json as unknown as Accepted });
  }
  return answer;
}
