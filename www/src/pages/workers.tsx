// Workers: slots, what they hold, how isolated they are, when they were last heard.
import type { Worker, WorkerEngine } from '../api/types';
import { Badge, Foreign, ForeignCell, Skeleton, Trouble } from '../ui/bits';
import { count, duration } from '../ui/format';
import type { Look } from '../ui/outcome';
import { usePolled } from './polled';

/** Two heartbeats: nobody silent for longer is shown as well. */
const SILENT_MS = 2_000;

const HEARD: Look = { tone: 'plain', sign: 'check', word: 'answers', means: 'heard within two heartbeats' };
const SILENT: Look = { tone: 'error', sign: 'bolt', word: 'silent', means: 'not heard for more than two heartbeats' };

function EngineOf({ engine }: { engine: WorkerEngine }) {
  const text = [engine.name, engine.version, engine.definitions].filter(Boolean).join(' ');
  return (
    <span class={engine.problem ? 'tag tone-warn' : 'tag'} title={engine.problem ?? text}>
      <Foreign text={engine.name} max={30} />
      {engine.problem ? <>: <Foreign text={engine.problem} max={60} /></> : null}
    </span>
  );
}

function Row({ worker }: { worker: Worker }) {
  return (
    <tr>
      <td>
        <ForeignCell text={worker.name} mono />
      </td>
      <td>
        <Badge look={worker.silent_ms > SILENT_MS ? SILENT : HEARD} note={worker.silent_ms > SILENT_MS ? duration(worker.silent_ms) : undefined} />
      </td>
      <td class="num">{count(worker.slots)}</td>
      <td class="num">{count(worker.running)}</td>
      <td class="num">{count(worker.held)}</td>
      <td class="num">{count(worker.window)}</td>
      <td class="num">{count(worker.done)}</td>
      <td class="num">{count(worker.lost)}</td>
      <td>
        <Foreign text={String(worker.isolation)} max={80} />
      </td>
      <td class="tags">
        {worker.engines.map((engine) => (
          <EngineOf key={engine.name} engine={engine} />
        ))}
      </td>
    </tr>
  );
}

export function WorkersPage() {
  const data = usePolled<{ items: Worker[] }>('/workers');
  const workers = data.value.value?.items;
  if (!workers)
    return data.error.value ? (
      <Trouble what="The workers could not be read" why={data.error.value.message} button="Read again" onPress={() => void data.read()} />
    ) : (
      <Skeleton rows={4} />
    );
  return (
    <div class="page">
      <h1>Workers</h1>
      {workers.length ? null : (
        <p>
          <strong>No worker is connected.</strong> Files are taken and wait. On this machine <code>phagescan status</code> says
          whether the worker runs; <code>phagescan up</code> starts it.
        </p>
      )}
      <div class="wide" role="region" tabIndex={0} aria-label="workers, table">
        <table class="rows auto">
          <thead>
            <tr>
              <th>Worker</th>
              <th>State</th>
              <th class="num" title="jobs that can run at once">Slots</th>
              <th class="num">Running</th>
              <th class="num" title="leases in its hands">Held</th>
              <th class="num" title="leases it may hold">Window</th>
              <th class="num">Done</th>
              <th class="num">Lost</th>
              <th>Isolation</th>
              <th>Engines</th>
            </tr>
          </thead>
          <tbody>
            {workers.map((worker) => (
              <Row key={String(worker.session)} worker={worker} />
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
