// Uploads, at the foot of every page: how far, how fast, what was found so far, what was refused and why.
import { signal } from '@preact/signals';
import { useRef, useState } from 'preact/hooks';
import type { Verdict } from '../api/types';
import { sampleHref } from '../router';
import type { Item } from '../upload/item';
import { ITEMS_MAX, uploader } from '../upload/uploader';
import { Badge, Foreign, ForeignCell } from './bits';
import { count, plural, size, span } from './format';
import { QUEUED, VERDICTS, verdictLook } from './outcome';
import { useWindow } from './virtual';

const unfolded = signal(false);

/** Components that read the uploader's plain fields are drawn anew when this goes up; to be read in each of them. */
const beat = (): number => uploader.tick.value;

function Rate() {
  beat();
  const rate = uploader.pace.bytesPerSecond();
  const left = uploader.totalBytes - uploader.doneBytes;
  if (!uploader.active || rate === null || rate < 1 || uploader.gate.wait.value) return null;
  return (
    <span class="num dim">
      {size(rate)}/s, {span(left / rate)} left
    </span>
  );
}

function Waiting() {
  beat();
  const wait = uploader.gate.wait.value;
  if (!wait || !uploader.active) return null;
  return (
    <span class="waits" role="status">
      Waiting {span(Math.max(1, (wait.untilMs - Date.now()) / 1000))}: <Foreign text={wait.why} max={160} />. Nothing is lost; it
      goes on by itself.{' '}
      <button type="button" class="small" onClick={() => uploader.gate.open()}>
        try now
      </button>
    </span>
  );
}

const ORDER: Verdict[] = ['malicious', 'suspicious', 'inconclusive', 'nothing-found', 'known-good'];

function FoundSoFar() {
  beat();
  const { found, pending } = uploader.verdicts;
  return (
    <span class="found-so-far">
      {ORDER.filter((verdict) => found.get(verdict)).map((verdict) => (
        <Badge key={verdict} look={VERDICTS[verdict]} note={count(found.get(verdict) ?? 0)} />
      ))}
      {pending ? <Badge look={{ ...QUEUED, word: 'scanning' }} note={count(pending)} /> : null}
    </span>
  );
}

function Summary() {
  beat();
  const { counts, items, totalBytes, doneBytes, takenBytes, walking, leftOut } = uploader;
  const settled = counts.sent + counts.failed + counts.withdrawn;
  return (
    <>
      <progress max={Math.max(1, totalBytes + items.length)} value={doneBytes + settled} aria-label="upload" />
      <span class="num">
        {uploader.active ? (
          <>
            {count(settled)} of {plural(items.length, 'file')}
            {walking ? '\u2026' : ''}, {size(doneBytes)} of {size(totalBytes)}
          </>
        ) : (
          <>
            {plural(counts.sent, 'file')} taken, {size(takenBytes)}
          </>
        )}
      </span>
      {counts.failed ? <span class="refused">{count(counts.failed)} not taken</span> : null}
      {counts.withdrawn ? <span class="dim">{count(counts.withdrawn)} withdrawn</span> : null}
      {leftOut ? (
        <span class="refused">
          {count(leftOut)} left out: over {count(ITEMS_MAX)} files use <code>phagescan submit</code>
        </span>
      ) : null}
    </>
  );
}

function Controls() {
  beat();
  const { counts, items, batch } = uploader;
  const retryable = counts.failed > 0 && items.some((item) => item.state === 'failed' && item.retryable);
  return (
    <span class="controls">
      {batch ? <a href={`/?batch=${encodeURIComponent(batch)}`}>only these</a> : null}
      {retryable ? (
        <button type="button" onClick={() => uploader.retry()}>
          Retry
        </button>
      ) : null}
      <button type="button" aria-expanded={unfolded.value} onClick={() => (unfolded.value = !unfolded.value)}>
        {unfolded.value ? 'Fewer details' : 'Details'}
      </button>
      {uploader.active ? (
        <button type="button" title="what was taken stays; the rest is withdrawn" onClick={() => uploader.stop()}>
          Stop
        </button>
      ) : (
        <button
          type="button"
          onClick={() => {
            unfolded.value = false;
            uploader.clear();
          }}
        >
          Close
        </button>
      )}
    </span>
  );
}

function percent(item: Item): string {
  return item.size ? `${Math.floor((item.sentBytes * 100) / item.size)} %` : '';
}

function ItemState({ item }: { item: Item }) {
  beat();
  if (item.scan?.verdict) return <Badge look={verdictLook(item.scan.verdict)} note={`${item.scan.positives}/${item.scan.total}`} />;
  switch (item.state) {
    case 'waiting':
      return <span class="dim">waits</span>;
    case 'sending':
      return <span class="num">sending {percent(item)}</span>;
    case 'sent':
      return <Badge look={{ ...QUEUED, word: 'scanning' }} />;
    case 'withdrawn':
      return <span class="dim">withdrawn</span>;
    case 'failed':
      return (
        <span class="refused one-line">
          <span>not taken:</span> <ForeignCell text={item.why} />
        </span>
      );
  }
}

function ItemRow({ item }: { item: Item }) {
  beat();
  const name = <ForeignCell text={item.path ?? item.name} />;
  return (
    <tr>
      <td>{item.accepted ? <a href={sampleHref(item.accepted.sha256)}>{name}</a> : name}</td>
      <td class="num">{size(item.size)}</td>
      <td>
        <ItemState item={item} />
      </td>
    </tr>
  );
}

function Items() {
  beat();
  const [onlyFailed, setOnlyFailed] = useState(false);
  const scroller = useRef<HTMLDivElement>(null);
  const failed = uploader.counts.failed;
  const items = onlyFailed && failed ? uploader.items.filter((item) => item.state === 'failed') : uploader.items;
  const view = useWindow({ count: items.length, scroller });
  return (
    <div class="dock-items" ref={scroller} tabIndex={0} aria-label="files of the upload">
      <table class="rows">
        <colgroup>
          <col />
          <col class="w-size" />
          <col class="w-half" />
        </colgroup>
        <thead>
          <tr>
            <th>
              File{' '}
              {failed ? (
                <button type="button" class="small" aria-pressed={onlyFailed} onClick={() => setOnlyFailed(!onlyFailed)}>
                  only those not taken
                </button>
              ) : null}
            </th>
            <th class="num">Size</th>
            <th>State</th>
          </tr>
        </thead>
        <tbody>
          <tr class="spacer" style={{ height: `${view.above}px` }} />
          {view.indices.map((i) => {
            const item = items[i];
            return item ? <ItemRow key={item.id} item={item} /> : null;
          })}
          <tr class="spacer" style={{ height: `${view.below}px` }} />
        </tbody>
      </table>
    </div>
  );
}

export function UploadDock() {
  beat();
  if (!uploader.items.length) return null;
  return (
    <section class="dock" aria-label="uploads">
      <div class="dock-bar">
        <Summary />
        <Rate />
        <FoundSoFar />
        <Waiting />
        <Controls />
      </div>
      {unfolded.value ? <Items /> : null}
    </section>
  );
}
