// What holds for everything on the page, quietly, above it. The worst comes first.
import { signal, useComputed, useSignalEffect } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { get } from '../api/http';
import type { Engine } from '../api/types';
import { status, statusError } from '../model/status';
import { Foreign } from './bits';

const read = (key: string): string => {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
};
const write = (key: string, value: string): void => {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is switched off: said again next time.
  }
};

/** Engines on bundled test signatures, as known last time, so that the banner is there with the first paint and
 *  nothing jumps. */
const tested = signal<string[]>(read('test-signatures').split(' ').filter(Boolean));
const hidden = signal(read('test-signatures-hidden'));

async function readTested(): Promise<void> {
  const { items } = await get<{ items: Engine[] }>('/engines');
  setTested(items.filter((engine) => engine.enabled && engine.origin === 'test').map((engine) => engine.name));
}

function setTested(names: string[]): void {
  tested.value = names;
  write('test-signatures', names.join(' '));
}

function Banner({ kind, children, onHide }: { kind: 'quiet' | 'loud'; children: ComponentChildren; onHide?: () => void }) {
  return (
    <div class={`banner ${kind}`} role={kind === 'loud' ? 'alert' : 'note'}>
      <p>{children}</p>
      {onHide ? (
        <button type="button" class="small" onClick={onHide}>
          hide
        </button>
      ) : null}
    </div>
  );
}

function Broken() {
  const now = status.value;
  if (statusError.value)
    return (
      <Banner kind="loud">
        <strong>The server does not answer.</strong> What you see is what was known last; the page goes on by itself when it
        is back. <code>phagescan status</code> says which part is not well.
      </Banner>
    );
  if (now && !now.database.ok)
    return (
      <Banner kind="loud">
        <strong>The database is away</strong>
        {now.database.detail ? <>: <Foreign text={now.database.detail} max={300} /></> : null}. Nothing can be submitted until
        it is back; nothing that was taken is lost.
      </Banner>
    );
  if (now && !now.broker.ok)
    return (
      <Banner kind="loud">
        <strong>The broker does not answer.</strong> Files are taken and kept; they are scanned when it is back.
      </Banner>
    );
  return null;
}

function TestSignatures() {
  const origin = useComputed(() => status.value?.signatures.origin ?? null);
  useSignalEffect(() => {
    if (origin.value === 'test') readTested().catch(() => {}); // known the next time
    else if (origin.value !== null) setTested([]);
  });
  const names = tested.value;
  if (!names.length || hidden.value === names.join(' ')) return null;
  return (
    <Banner kind="quiet"
      onHide={() => {
        hidden.value = names.join(' ');
        write('test-signatures-hidden', hidden.value);
      }}
    >
      <strong>Bundled test signatures</strong> in <Foreign text={names.join(', ')} max={80} />: their hits count, their silence does
      not{names.includes('clamav') ? <>, so clean files are <em>inconclusive</em></> : null}. Real ones: install{' '}
      <code>clamav-freshclam</code>, or <code>phagescan up --signatures DIR</code>
    </Banner>
  );
}

export function Banners() {
  return (
    <section class="banners" aria-label="notices">
      <Broken />
      <TestSignatures />
    </section>
  );
}
