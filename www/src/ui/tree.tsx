// Any JSON as a tree that reads well without knowing the engine: keys to the left, values to the right, folded when
// there is much of it. Keys and values are the engine's, hence hostile.
import { useState } from 'preact/hooks';
import type { Json } from '../api/types';
import { plural } from './format';
import { Foreign } from './bits';

/** Children shown before somebody asks for all of them. */
const FIRST = 50;
/** Deeper than this is shown as text. */
const DEPTH_MAX = 12;
/** A list of objects with more columns is no table. */
const COLUMNS_MAX = 8;
/** A branch with more inside starts folded. */
const OPEN_MAX = 24;

type Branch = Json[] | { [key: string]: Json };

const isBranch = (value: Json): value is Branch => typeof value === 'object' && value !== null;
const entriesOf = (branch: Branch): [string, Json][] => Object.entries(branch);

function weight(value: Json, left: number): number {
  if (!isBranch(value)) return 1;
  let sum = 1;
  for (const child of Object.values(value)) {
    sum += weight(child, left - sum);
    if (sum > left) break;
  }
  return sum;
}

function Leaf({ value }: { value: Json }) {
  if (typeof value === 'string') return value === '' ? <span class="dim">empty</span> : <Foreign text={value} max={400} mono />;
  if (value === null) return <span class="dim">none</span>;
  if (isBranch(value)) return <Foreign text={JSON.stringify(value)} max={400} mono />;
  return <span class="mono">{String(value)}</span>;
}

const isShort = (value: Json): boolean =>
  Array.isArray(value) && value.length > 0 && value.length <= 12 && value.every((one) => !isBranch(one) && String(one).length <= 40);

function ShortList({ values }: { values: Json[] }) {
  return (
    <span class="short-list">
      {values.map((value, i) => (
        <span key={i}>
          <Leaf value={value} />
        </span>
      ))}
    </span>
  );
}

/** Columns of a list of flat objects that look alike (sections, imports, entries), or null. */
function columnsOf(value: Branch): string[] | null {
  if (!Array.isArray(value) || value.length < 2 || value.length > FIRST) return null;
  const columns = new Set<string>();
  for (const row of value) {
    if (!isBranch(row) || Array.isArray(row)) return null;
    for (const [key, cell] of entriesOf(row)) {
      if (isBranch(cell) && !isShort(cell)) return null;
      columns.add(key);
    }
    if (columns.size > COLUMNS_MAX) return null;
  }
  return columns.size ? [...columns] : null;
}

function TableOf({ rows, columns }: { rows: { [key: string]: Json }[]; columns: string[] }) {
  return (
    <div class="wide" role="region" tabIndex={0} aria-label="trait, table">
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                <Foreign text={column} max={40} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {columns.map((column) => (
                <td key={column}>{column in row ? <Value value={row[column] as Json} depth={DEPTH_MAX - 1} /> : null}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Inside({ value, depth }: { value: Branch; depth: number }) {
  const columns = columnsOf(value);
  return columns ? (
    <TableOf rows={value as { [key: string]: Json }[]} columns={columns} />
  ) : (
    <Tree branch={value} depth={depth + 1} />
  );
}

function Value({ value, depth }: { value: Json; depth: number }) {
  if (!isBranch(value)) return <Leaf value={value} />;
  if (isShort(value)) return <ShortList values={value as Json[]} />;
  if (depth >= DEPTH_MAX) return <Leaf value={value} />;
  const n = entriesOf(value).length;
  if (!n) return <span class="dim">none</span>;
  if (weight(value, OPEN_MAX) <= OPEN_MAX) return <Inside value={value} depth={depth} />;
  return (
    <details>
      <summary>{Array.isArray(value) ? plural(n, 'item') : plural(n, 'entry', 'entries')}</summary>
      <Inside value={value} depth={depth} />
    </details>
  );
}

/** Keys beside their values; a branch goes below its key. List items that are branches need no number. */
export function Tree({ branch, depth = 0 }: { branch: Branch; depth?: number }) {
  const [all, setAll] = useState(false);
  const entries = entriesOf(branch);
  const shown = all ? entries : entries.slice(0, FIRST);
  const below = (value: Json): boolean => isBranch(value) && !isShort(value) && entriesOf(value).length > 0;
  return (
    <dl class={Array.isArray(branch) ? 'tree items' : 'tree'}>
      {shown.map(([key, value]) => (
        <div key={key} class={below(value) ? 'below' : ''}>
          <dt>
            {Array.isArray(branch) ? `${Number(key) + 1}.` : <Foreign text={key} max={60} />}
          </dt>
          <dd>
            <Value value={value} depth={depth} />
          </dd>
        </div>
      ))}
      {shown.length < entries.length ? (
        <button type="button" class="small" onClick={() => setAll(true)}>
          show all {entries.length}
        </button>
      ) : null}
    </dl>
  );
}
