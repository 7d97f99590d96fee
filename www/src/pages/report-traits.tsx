// What engines found out about the sample, a tree per engine.
import type { Result } from '../api/types';
import { Foreign } from '../ui/bits';
import { Tree } from '../ui/tree';
import { sortedResults } from './report-engines';

export function Traits({ results }: { results: Result[] }) {
  const rich = sortedResults(results).filter((result) => result.traits && Object.keys(result.traits).length);
  if (!rich.length) return null;
  return (
    <section aria-label="traits">
      <h2>Traits</h2>
      <div class="traits">
        {rich.map((result) => (
          <section key={result.engine} class="card">
            <h3>
              <Foreign text={result.engine} max={40} />
            </h3>
            <Tree branch={result.traits ?? {}} />
          </section>
        ))}
      </div>
    </section>
  );
}
