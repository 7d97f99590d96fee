// Engines, true at this second: the worst first, in a sentence, then the table.
import type { Engine } from '../api/types';
import { Badge, Foreign, ForeignCell, Skeleton, Trouble } from '../ui/bits';
import { count, duration, plural, span } from '../ui/format';
import type { Look } from '../ui/outcome';
import { usePolled } from './polled';

const OFFERED: Look = { tone: 'plain', sign: 'check', word: 'offered', means: 'workers offer it and have answered lately' };
const ABSENT: Look = { tone: 'error', sign: 'bolt', word: 'no worker', means: 'no worker offers it; what it misses is back-filled when one comes' };
const TROUBLED: Look = { tone: 'warn', sign: 'triangle', word: 'problem', means: 'see the note' };
const OFF: Look = { tone: 'faint', sign: 'dash', word: 'switched off', means: 'no scan asks for it' };

/** Definitions older than this are worth a colour. */
const STALE_S = 7 * 86_400;

function lookOf(engine: Engine): Look {
  if (!engine.enabled) return OFF;
  if (!engine.available) return ABSENT;
  return engine.problem ? TROUBLED : OFFERED;
}

/** The bundled test set is as old as it is; its banner says what it is. */
const isStale = (engine: Engine): boolean =>
  engine.kind === 'evilness' && engine.origin !== 'test' && Boolean(engine.definitions) && (engine.age_s ?? 0) > STALE_S;

function sentences(engines: Engine[]): string[] {
  const out: string[] = [];
  for (const engine of engines.filter((one) => one.enabled && !one.available))
    out.push(`${engine.name}: no worker offers it; what it misses is back-filled when one comes`);
  for (const engine of engines.filter((one) => one.enabled && one.available && one.problem))
    out.push(`${engine.name}: ${engine.problem}`);
  for (const engine of engines.filter(isStale))
    out.push(`${engine.name}: definitions of ${span(engine.age_s ?? 0)} ago`);
  for (const engine of engines.filter((one) => one.lost > 0))
    out.push(`${engine.name}: ${plural(engine.lost, 'lease')} lost since the broker started`);
  return out;
}

function Row({ engine }: { engine: Engine }) {
  const stale = isStale(engine);
  return (
    <tr>
      <td>
        <Foreign text={engine.name} max={40} />
      </td>
      <td>
        <Badge look={lookOf(engine)} />
      </td>
      <td class="dim">{engine.kind === 'evilness' ? 'judges' : 'describes'}</td>
      <td class="num">{count(engine.workers)}</td>
      <td class="num">{count(engine.queued)}</td>
      <td class="num">{count(engine.leased)}</td>
      <td class="num">{count(engine.reported)}</td>
      <td class="num">{engine.queued ? duration(engine.oldest_ms) : ''}</td>
      <td class="num">{count(engine.done)}</td>
      <td class="num">{count(engine.lost)}</td>
      <td>{engine.version ? <ForeignCell text={engine.version} mono /> : null}</td>
      <td>{engine.definitions ? <ForeignCell text={engine.definitions} mono /> : null}</td>
      <td>{engine.origin ? <Foreign text={engine.origin} max={20} /> : null}</td>
      <td class="num">{engine.definitions && engine.signatures ? count(engine.signatures) : ''}</td>
      <td class={stale ? 'num stale' : 'num'}>{engine.definitions ? span(engine.age_s ?? 0) : ''}</td>
    </tr>
  );
}

export function EnginesPage() {
  const data = usePolled<{ items: Engine[] }>('/engines');
  const engines = data.value.value?.items;
  if (!engines)
    return data.error.value ? (
      <Trouble what="The engines could not be read" why={data.error.value.message} button="Read again" onPress={() => void data.read()} />
    ) : (
      <Skeleton rows={6} />
    );
  const worst = sentences(engines);
  return (
    <div class="page">
      <h1>Engines</h1>
      {worst.length ? (
        <ul class="worst">
          {worst.map((sentence) => (
            <li key={sentence}>
              <Foreign text={sentence} max={300} />
            </li>
          ))}
        </ul>
      ) : (
        <p class="dim">
          {engines.length ? 'All engines are offered by workers that answered lately.' : 'No engine is known yet: no worker has come. `phagescan status` says what runs.'}
        </p>
      )}
      <div class="wide" role="region" tabIndex={0} aria-label="engines, table">
        <table class="rows auto">
          <thead>
            <tr>
              <th>Engine</th>
              <th>State</th>
              <th>Does</th>
              <th class="num">Workers</th>
              <th class="num" title="jobs in the broker that wait for a slot">Queued</th>
              <th class="num" title="jobs in a worker's hands">Leased</th>
              <th class="num" title="results that wait for the database">Reported</th>
              <th class="num" title="how long the first in the queue has waited">Oldest</th>
              <th class="num">Done</th>
              <th class="num" title="leases that ended without a result">Lost</th>
              <th>Version</th>
              <th>Definitions</th>
              <th>Origin</th>
              <th class="num">Signatures</th>
              <th class="num">Age</th>
            </tr>
          </thead>
          <tbody>
            {engines.map((engine) => (
              <Row key={engine.name} engine={engine} />
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
