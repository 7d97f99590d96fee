// Engines and what each said; rows change in place as results arrive.
import type { Engine, Result } from '../api/types';
import { Badge, Foreign, ForeignCell } from '../ui/bits';
import { duration, plural } from '../ui/format';
import { QUEUED, outcomeLook, silenceNote } from '../ui/outcome';

const RANK: Record<string, number> = {
  malicious: 0,
  suspicious: 1,
  failure: 2,
  timeout: 2,
  quarantined: 2,
  incomplete: 3,
  unavailable: 4,
  harmless: 5,
  undetected: 6,
};

/** What was found first, then what went wrong, then silence; judges before those that describe. */
export function sortedResults(results: Result[]): Result[] {
  const rank = (result: Result): number =>
    (result.kind === 'metadata' ? 100 : 0) + (result.outcome ? (RANK[result.outcome] ?? 7) : 8);
  return [...results].sort((a, b) => rank(a) - rank(b) || (a.engine < b.engine ? -1 : 1));
}

function OutcomeCell({ result, engines }: { result: Result; engines: Engine[] }) {
  if (!result.outcome) {
    const away = engines.some((engine) => engine.name === result.engine && !engine.available);
    return <Badge look={QUEUED} note={away ? 'no worker offers it' : undefined} />;
  }
  return (
    <>
      <Badge look={outcomeLook(result.outcome)} note={silenceNote(result.outcome, result.counted) || undefined} />
      {result.cached ? (
        <span class="tag" title="the same engine, version and definitions have looked at this file before">
          from cache
        </span>
      ) : null}
    </>
  );
}

function Row({ result, engines }: { result: Result; engines: Engine[] }) {
  return (
    <tr data-engine={result.engine}>
      <td>
        <Foreign text={result.engine} max={40} />
        {result.required ? (
          <span class="dim" title="the profile requires an answer of this engine">
            {' '}
            required
          </span>
        ) : null}
      </td>
      <td>
        <OutcomeCell result={result} engines={engines} />
      </td>
      <td class="grow">
        {result.label ? <ForeignCell text={result.label} mono /> : null}
        {!result.label && result.reason ? (
          <span class="dim">
            <ForeignCell text={result.reason} />
          </span>
        ) : null}
      </td>
      <td>{result.version ? <ForeignCell text={result.version} mono /> : null}</td>
      <td>
        {result.definitions ? (
          <ForeignCell text={result.origin ? `${result.definitions} (${result.origin})` : result.definitions} mono />
        ) : (
          (result.origin ?? null)
        )}
      </td>
      <td class="num" title={result.cpu_ms === null ? '' : `${duration(result.cpu_ms)} of CPU time; waited ${duration(result.wait_ms)}`}>
        {result.status === 'done' && !result.cached ? duration(result.run_ms) : ''}
      </td>
      <td>
        {result.worker ? <ForeignCell text={result.worker} mono /> : null}
        {result.lost ? <span class="dim"> after {plural(result.lost, 'lost lease')}</span> : null}
      </td>
    </tr>
  );
}

export function EngineTable({ results, engines }: { results: Result[]; engines: Engine[] }) {
  return (
    <section aria-label="engines">
      <h2>Engines</h2>
      {results.length ? (
        <div class="wide" role="region" tabIndex={0} aria-label="engines, table">
          <table class="rows report-engines">
            <colgroup>
              <col class="w-engine" />
              <col class="w-outcome" />
              <col />
              <col class="w-version" />
              <col class="w-definitions" />
              <col class="w-took" />
              <col class="w-worker" />
            </colgroup>
            <thead>
              <tr>
                <th>Engine</th>
                <th>Outcome</th>
                <th>Label, or why</th>
                <th>Version</th>
                <th>Definitions (origin)</th>
                <th class="num">Took</th>
                <th>Worker</th>
              </tr>
            </thead>
            <tbody>
              {sortedResults(results).map((result) => (
                <Row key={result.engine} result={result} engines={engines} />
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <p class="dim">
          No engine was asked. <a href="/engines">Which engines exist, and where their workers are</a>
        </p>
      )}
    </section>
  );
}
