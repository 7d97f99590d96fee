// What holds for everything on the page, quietly, above it. The worst comes first.
import { signal, useSignalEffect } from '@preact/signals';
import type { ComponentChildren } from 'preact';
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

/** What the server said last time, so that the banner is there with the first paint and nothing jumps. */
const origin = signal(read('signatures'));
const hidden = signal(read('signatures-hidden'));

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
  useSignalEffect(() => {
    if (!status.value) return;
    origin.value = status.value.signatures.origin ?? '';
    write('signatures', origin.value);
    if (origin.value !== 'test') hidden.value = '';
  });
  if (origin.value !== 'test' || hidden.value === 'test') return null;
  return (
    <Banner kind="quiet"
      onHide={() => {
        hidden.value = 'test';
        write('signatures-hidden', 'test');
      }}
    >
      <strong>Bundled test signatures:</strong> clean files are <em>inconclusive</em>. Real ones: install{' '}
      <code>clamav-freshclam</code>, or put signature files in a directory and say <code>phagescan up --signatures DIR</code>
    </Banner>
  );
}

export function Banners() {
  return (
    <div class="banners">
      <Broken />
      <TestSignatures />
    </div>
  );
}
