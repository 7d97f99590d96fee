// What an outcome or verdict looks like: a colour class, a sign and a word, always the three together. Colours carry
// outcomes and nothing else; grey, not green, for silence: nobody proved the file clean.
import type { Outcome, ScanBrief, Verdict } from '../api/types';

export type Tone = 'bad' | 'warn' | 'quiet' | 'good' | 'part' | 'error' | 'plain' | 'faint' | 'busy';
export type Sign = 'cross' | 'triangle' | 'ring' | 'check' | 'half' | 'bolt' | 'lines' | 'dash' | 'dots';

export interface Look {
  tone: Tone;
  sign: Sign;
  word: string;
  /** What it means, for the title. */
  means: string;
}

const look = (tone: Tone, sign: Sign, word: string, means: string): Look => ({ tone, sign, word, means });

export const VERDICTS: Record<Verdict, Look> = {
  malicious: look('bad', 'cross', 'malicious', 'at least one engine calls it malicious'),
  suspicious: look('warn', 'triangle', 'suspicious', 'at least one engine calls it suspicious'),
  'nothing-found': look('quiet', 'ring', 'nothing found', 'every required engine looked at all of it and found nothing'),
  'known-good': look('good', 'check', 'known good', 'an engine knows this very file to be harmless'),
  inconclusive: look('part', 'half', 'inconclusive', 'a required engine did not give an answer that counts'),
};

const OUTCOMES: Record<Outcome, Look> = {
  malicious: look('bad', 'cross', 'malicious', 'the engine calls it malicious'),
  suspicious: look('warn', 'triangle', 'suspicious', 'the engine calls it suspicious'),
  undetected: look('quiet', 'ring', 'undetected', 'the engine looked at all of it and found nothing'),
  harmless: look('good', 'check', 'harmless', 'the engine knows it to be harmless'),
  incomplete: look('part', 'half', 'incomplete', 'the engine did not see all of it: encrypted, over a limit, or cut short'),
  'type-unsupported': look('faint', 'dash', 'type unsupported', 'the engine does not look at files of this type'),
  timeout: look('error', 'bolt', 'timeout', 'the engine was stopped at its deadline'),
  failure: look('error', 'bolt', 'failure', 'the engine erred'),
  quarantined: look('error', 'bolt', 'quarantined', 'this file broke the engine too often; it is kept from it'),
  unavailable: look('faint', 'dash', 'unavailable', 'no worker offered the engine'),
  cancelled: look('faint', 'dash', 'cancelled', 'the job was called off'),
  described: look('plain', 'lines', 'described', 'the engine describes files and judges none'),
};

/** A word of a newer server must not break the page. */
const unknown = (word: string): Look => look('faint', 'dash', word, 'not known to this page; reload it');

export const verdictLook = (verdict: Verdict): Look => VERDICTS[verdict] ?? unknown(verdict);
export const outcomeLook = (outcome: Outcome): Look => OUTCOMES[outcome] ?? unknown(outcome);

export const RUNNING: Look = look('busy', 'dots', 'scanning', 'engines are still at work');
export const QUEUED: Look = look('busy', 'dots', 'queued', 'waits for its turn');

/** `1/3`: M counts definite answers only. */
export const countsOf = (scan: ScanBrief): string => (scan.verdict ? `${scan.positives}/${scan.total}` : '');

/** What stands beside N/M: `1 failed, 1 incomplete`. */
export function besideOf(scan: ScanBrief): string {
  const parts: string[] = [];
  if (scan.failed) parts.push(`${scan.failed} failed`);
  if (scan.incomplete) parts.push(`${scan.incomplete} incomplete`);
  return parts.join(', ');
}

/** Why the verdict is what it is, in one line: the label, or the reasons of a scan that has none. */
export function whyOf(scan: ScanBrief): string {
  return scan.verdict === 'malicious' || scan.verdict === 'suspicious' ? '' : scan.reasons.join('; ');
}

/** An engine's silence that does not count (test signatures, or none) is not to be mistaken for one that does. */
export const silenceNote = (outcome: Outcome | null, counted: boolean): string =>
  outcome === 'undetected' && !counted ? 'not counted' : '';
