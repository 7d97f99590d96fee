// Files that engines derived from the sample: links that save them. Pictures are shown when the server gives them a type.
import type { DerivedFile, Result } from '../api/types';
import { Foreign } from '../ui/bits';
import { size } from '../ui/format';
import { sortedResults } from './report-engines';

const SHOWN = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];
const SHOWN_BYTES = 1 << 20;

function File({ file }: { file: DerivedFile }) {
  const href = `/api/v1/artifacts/${file.sha256}`;
  const shown = file.picture && file.size <= SHOWN_BYTES && SHOWN.includes(file.mime ?? '');
  return (
    <li>
      <a href={href} download={file.name}>
        <Foreign text={file.name} max={80} />
      </a>{' '}
      {size(file.size)} <Foreign text={file.mime ?? ''} max={40} />
      {shown && (
        <div>
          <img src={href} alt="" loading="lazy" />
        </div>
      )}
    </li>
  );
}

export function Files({ results }: { results: Result[] }) {
  const rich = sortedResults(results).filter((result) => result.files?.length);
  if (!rich.length) return null;
  return (
    <section aria-label="files">
      <h2>Derived files</h2>
      <p>As dangerous as the sample.</p>
      {rich.map((result) => (
        <section key={result.engine} class="card">
          <h3>
            <Foreign text={result.engine} max={40} />
          </h3>
          <ul>
            {result.files.map((file, at) => (
              <File key={at} file={file} />
            ))}
          </ul>
        </section>
      ))}
    </section>
  );
}
