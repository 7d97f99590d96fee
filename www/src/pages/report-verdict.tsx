// The verdict and why: N of M in words and colour, who said so, and who is missing.
import type { Engine, Result, ScanBrief } from '../api/types';
import { Foreign, Sign } from '../ui/bits';
import { plural } from '../ui/format';
import { RUNNING, outcomeLook, verdictLook } from '../ui/outcome';

const judges = (results: Result[]): Result[] => results.filter((result) => result.kind === 'evilness');

/** What stands beside N of M: judges whose answer does not count, by what became of them. */
function beside(results: Result[]): string[] {
  const kinds = new Map<string, number>();
  for (const { outcome, counted } of judges(results)) {
    if (!outcome || counted || outcome === 'type-unsupported') continue;
    const kind = outcome === 'undetected' ? 'silent (not counted)' : outcomeLook(outcome).word;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return [...kinds].map(([kind, n]) => `${n} ${kind}`);
}

/** `1 of 2 engines`, and what stands beside it. */
function Numbers({ scan, results }: { scan: ScanBrief; results: Result[] }) {
  const done = results.filter((result) => result.status === 'done').length;
  if (!scan.verdict)
    return (
      <p class="numbers">
        {done} of {plural(results.length, 'engine')} done
      </p>
    );
  return (
    <p class="numbers">
      {scan.total ? (
        <span title="engines that found something, of those whose answer counts">
          <strong>
            {scan.positives} of {scan.total}
          </strong>{' '}
          {scan.total === 1 ? 'engine' : 'engines'} found something
        </span>
      ) : (
        <strong>No engine gave an answer that counts</strong>
      )}
      {beside(results).map((text) => `, ${text}`)}
    </p>
  );
}

const POSITIVE = ['malicious', 'suspicious'];

/** Engines that found something, each with what it calls it. */
function Finders({ results }: { results: Result[] }) {
  const finders = judges(results).filter((result) => result.outcome && POSITIVE.includes(result.outcome));
  if (!finders.length) return null;
  return (
    <ul class="finders">
      {finders.map((result) => (
        <li key={result.engine}>
          <span class={`bare tone-${outcomeLook(result.outcome ?? 'malicious').tone}`}>
            <Sign name={outcomeLook(result.outcome ?? 'malicious').sign} />
          </span>{' '}
          <Foreign text={result.engine} max={40} />: {result.label ? <Foreign text={result.label} max={120} mono /> : result.outcome}
        </li>
      ))}
    </ul>
  );
}

/** The server's reasons; those that only repeat the finders are left out. */
function Reasons({ scan, results }: { scan: ScanBrief; results: Result[] }) {
  const said = new Set(
    judges(results)
      .filter((result) => result.outcome && POSITIVE.includes(result.outcome))
      .map((result) => `${result.engine}: ${result.label ?? result.outcome}`),
  );
  const reasons = scan.reasons.filter((reason) => !said.has(reason));
  if (!reasons.length) return null;
  const detailed = (reason: string): string => {
    const of = results.find((result) => result.outcome && reason === `${result.engine}: ${result.outcome}`);
    return of?.reason ? `${reason} (${of.reason})` : reason;
  };
  return (
    <ul class="reasons">
      {reasons.map((reason, i) => (
        <li key={i}>
          <Foreign text={detailed(reason)} max={400} />
        </li>
      ))}
    </ul>
  );
}

/** What to do about it, where something can be done. */
function NextStep({ scan }: { scan: ScanBrief }) {
  if (scan.verdict !== 'inconclusive') return null;
  if (!scan.reasons.includes('bundled test signatures')) return null;
  return (
    <p class="dim">
      The bundled test signatures find test files only, so their silence says nothing. With real ones (
      <code>phagescan up --signatures DIR</code>) a rescan gives an answer.
    </p>
  );
}

/** Engines that nobody offered, or offers now. */
function Absent({ results, engines }: { results: Result[]; engines: Engine[] }) {
  const missed = results.filter((result) => result.outcome === 'unavailable');
  const awaited = results.filter(
    (result) => result.status === 'queued' && engines.some((engine) => engine.name === result.engine && !engine.available),
  );
  if (!missed.length && !awaited.length) return null;
  return (
    <ul class="reasons absent">
      {missed.map(({ engine }) => (
        <li key={engine}>
          <Foreign text={engine} max={40} />: no worker offered it; it will be back-filled when one comes.
        </li>
      ))}
      {awaited.map(({ engine }) => (
        <li key={engine}>
          <Foreign text={engine} max={40} />: no worker offers it at the moment; the scan waits a little, then goes on without.
        </li>
      ))}
    </ul>
  );
}

export function VerdictBlock({ scan, results, engines }: { scan: ScanBrief; results: Result[]; engines: Engine[] }) {
  const look = scan.verdict ? verdictLook(scan.verdict) : RUNNING;
  return (
    <section class={`verdict tone-${look.tone}`} aria-label="verdict" aria-live="polite">
      <p class="verdict-word" data-test="verdict">
        <Sign name={look.sign} /> {look.word}
      </p>
      <div class="verdict-why">
        <Numbers scan={scan} results={results} />
        {scan.label && !scan.verdict ? (
          <p>
            so far: <Foreign text={scan.label} max={120} mono />
          </p>
        ) : null}
        <Finders results={results} />
        <Reasons scan={scan} results={results} />
        <Absent results={results} engines={engines} />
        <NextStep scan={scan} />
      </div>
    </section>
  );
}
