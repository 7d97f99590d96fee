// `?`: the keys.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { useKeys } from './keys';

export const helpOpen = signal(false);

const KEYS: [string, string][] = [
  ['j  k', 'next and previous row'],
  ['Enter', 'open the row'],
  ['/', 'find by SHA-256 or name; a hash pasted anywhere is looked up too'],
  ['n', 'show the new rows that wait'],
  ['g', 'to the first row'],
  ['r', 'rescan (on a report)'],
  ['u', 'back to the submissions'],
  ['o', 'choose files to submit; dropping them anywhere does the same'],
  ['?', 'this'],
];

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  useKeys({ '?': () => (helpOpen.value = true) });
  useEffect(() => {
    if (helpOpen.value && !dialog.current?.open) dialog.current?.showModal();
  }, [helpOpen.value]);
  return (
    <dialog ref={dialog} aria-label="Keys" onClose={() => (helpOpen.value = false)}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}>
      <h2>Keys</h2>
      <table class="keys">
        <tbody>
          {KEYS.map(([key, does]) => (
            <tr key={key}>
              <th scope="row">
                <kbd>{key}</kbd>
              </th>
              <td>{does}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <form method="dialog">
        <button>Close</button>
      </form>
    </dialog>
  );
}
