// The small pieces: signs, badges, hostile text, times, copy buttons, errors.
import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { ago, utc } from './format';
import type { ScanBrief } from '../api/types';
import { type Look, type Sign as SignName, besideOf, whyOf } from './outcome';
import { cutMiddle, headAndTail, piecesOf, visible } from './visible';

// ---- signs ----

const SIGNS: Record<SignName, string> = {
  cross: 'M4 4l8 8M12 4l-8 8',
  triangle: 'M8 2.5l6 11H2zM8 6.8v3.2',
  ring: 'M8 3.5a4.5 4.5 0 1 0 .01 0',
  check: 'M3 8.5L6.5 12 13 4.5',
  half: 'M8 3a5 5 0 1 0 .01 0M8 3v10M10.5 4.5v7',
  bolt: 'M9 2L4 9h3.5L7 14l5-7H8.5z',
  lines: 'M3 5h10M3 8h10M3 11h6',
  dash: 'M4 8h8',
  dots: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
};

export function Sign({ name }: { name: SignName }) {
  return (
    <svg class={`sign sign-${name}`} viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      <path d={SIGNS[name]} />
    </svg>
  );
}

export function Badge({ look, note }: { look: Look; note?: string | undefined }) {
  return (
    <span class={`badge tone-${look.tone}`} title={look.means}>
      <Sign name={look.sign} />
      <span class="word">{look.word}</span>
      {note ? <span class="note">{note}</span> : null}
    </span>
  );
}

// ---- hostile text ----

/** Titles hold no elements and browsers cut them late. */
const TITLE_MAX = 1000;

function Pieces({ text }: { text: string }) {
  return (
    <>
      {piecesOf(text).map((piece, i) =>
        piece.sign ? (
          <span key={i} class="unseen">
            {piece.text}
          </span>
        ) : (
          piece.text
        ),
      )}
    </>
  );
}

/** Text from a stranger: isolated, signs for what cannot be seen, the middle cut out over max characters. */
export function Foreign({ text, max = 120, mono = false }: { text: string; max?: number; mono?: boolean }) {
  const shown = cutMiddle(text, max);
  return (
    <bdi class={mono ? 'foreign mono' : 'foreign'} title={shown === text ? undefined : visible(cutMiddle(text, TITLE_MAX))}>
      <Pieces text={shown} />
    </bdi>
  );
}

/** The same in a table's cell: the head gives way to the column's width, the end stays. */
export function ForeignCell({ text, mono = false }: { text: string; mono?: boolean }) {
  const [head, tail] = headAndTail(cutMiddle(text, 300), 10);
  return (
    <bdi class={mono ? 'foreign cell mono' : 'foreign cell'} title={visible(cutMiddle(text, TITLE_MAX))}>
      <span class="head">
        <Pieces text={head} />
      </span>
      {tail ? (
        <span class="tail">
          <Pieces text={tail} />
        </span>
      ) : null}
    </bdi>
  );
}

/** A scan's label, and what stands beside its numbers; without a label the reasons. */
export function Why({ scan }: { scan: ScanBrief }) {
  const rest = (scan.label ? '' : whyOf(scan)) || besideOf(scan);
  return (
    <span class="one-line">
      {scan.label ? <ForeignCell text={scan.label} mono /> : null}
      {rest ? (
        <span class="dim">
          <ForeignCell text={rest} />
        </span>
      ) : null}
    </span>
  );
}

// ---- time ----

/** Ticks slowly: relative times change, and nothing else moves by itself. */
const clock = signal(Date.now());
setInterval(() => {
  if (!document.hidden) clock.value = Date.now();
}, 10_000);

export function Ago({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={utc(iso)}>
      {ago(iso, Math.max(clock.value, Date.now() - 10_000))}
    </time>
  );
}

/** False until ms have passed: what is there sooner needs no skeleton. */
export function useLater(ms: number): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), ms);
    return () => clearTimeout(timer);
  }, [ms]);
  return late;
}

// ---- actions ----

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState('');
  async function press() {
    setSaid((await copyText(text)) ? 'copied' : 'select it by hand');
    setTimeout(() => setSaid(''), 1500);
  }
  return (
    <button type="button" class="small" onClick={press} aria-label={`copy ${what}`}>
      <span aria-live="polite">{said || 'copy'}</span>
    </button>
  );
}

// ---- states of a page ----

export interface TroubleProps {
  /** What failed, as a sentence without its full stop. */
  what: string;
  why: string;
  /** What is as it was. */
  kept?: string;
  button?: string;
  onPress?: () => void;
}

export function Trouble({ what, why, kept, button, onPress }: TroubleProps) {
  return (
    <div class="trouble" role="alert">
      <p>
        <strong>{what}:</strong> <Foreign text={why} max={600} />
      </p>
      {kept ? <p class="dim">{kept}</p> : null}
      {button && onPress ? (
        <button type="button" onClick={onPress}>
          {button}
        </button>
      ) : null}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Skeleton({ rows }: { rows: number }) {
  if (!useLater(200)) return null;
  return (
    <div class="skeleton" aria-hidden="true">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} />
      ))}
    </div>
  );
}
