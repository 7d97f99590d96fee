// Home: what was submitted, newest first, its verdicts turning up by themselves.
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { ScanBrief, Submission, Verdict } from '../api/types';
import type { Filter } from '../model/rows';
import { ROWS_MAX, type SubmissionList, listFor } from '../model/submissions';
import { go, place, sampleHref, withQuery } from '../router';
import { Ago, Badge, Empty, Foreign, ForeignCell, Sign, Skeleton, Trouble, Why } from '../ui/bits';
import { count, size } from '../ui/format';
import { useKeys } from '../ui/keys';
import { QUEUED, RUNNING, VERDICTS, countsOf, verdictLook } from '../ui/outcome';
import { useWindow } from '../ui/virtual';
import { uploader } from '../upload/uploader';

const filterOf = (query: URLSearchParams): Filter => ({
  batch: query.get('batch') ?? '',
  verdict: query.get('verdict') ?? '',
  q: query.get('q') ?? '',
});

const ORDER: Verdict[] = ['malicious', 'suspicious', 'inconclusive', 'nothing-found', 'known-good'];

// ---- above the list ----

function Pickers() {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  useKeys({ o: () => files.current?.click() });
  useEffect(() => folder.current?.setAttribute('webkitdirectory', ''), []);
  const take = (event: Event): void => {
    const input = event.currentTarget as HTMLInputElement;
    if (input.files?.length) uploader.addFiles(input.files);
    input.value = '';
  };
  return (
    <span class="pickers">
      <button type="button" class="primary" onClick={() => files.current?.click()}>
        Choose files
      </button>
      <button type="button" onClick={() => folder.current?.click()}>
        Choose a folder
      </button>
      <input ref={files} type="file" multiple hidden onChange={take} data-test="files" />
      <input ref={folder} type="file" multiple hidden onChange={take} data-test="folder" />
      <span class="dim hint">or drop them anywhere</span>
    </span>
  );
}

function VerdictFilter({ filter }: { filter: Filter }) {
  return (
    <nav class="segments" aria-label="filter by verdict">
      <a href={withQuery({ verdict: null })} aria-current={filter.verdict ? undefined : 'true'}>
        all
      </a>
      {ORDER.map((verdict) => (
        <a key={verdict} href={withQuery({ verdict })} aria-current={filter.verdict === verdict ? 'true' : undefined}>
          <span class={`tone-${VERDICTS[verdict].tone} bare`}>
            <Sign name={VERDICTS[verdict].sign} />
          </span>
          {VERDICTS[verdict].word}
        </a>
      ))}
    </nav>
  );
}

function Chip({ what, text, off }: { what: string; text: string; off: string }) {
  return (
    <span class="chip">
      {what} <Foreign text={text} max={40} mono />
      <a href={off} aria-label={`without ${what}`} title={`without ${what}`}>
        &times;
      </a>
    </span>
  );
}

function Toolbar({ filter }: { filter: Filter }) {
  return (
    <div class="toolbar">
      <Pickers />
      <VerdictFilter filter={filter} />
      {filter.batch ? <Chip what="batch" text={filter.batch} off={withQuery({ batch: null })} /> : null}
      {filter.q ? <Chip what="search" text={filter.q} off={withQuery({ q: null })} /> : null}
    </div>
  );
}

// ---- rows ----

const MEANS = 'engines that found something / engines whose answer counts';

function VerdictCell({ scan }: { scan: ScanBrief }) {
  if (scan.verdict) return <Badge look={verdictLook(scan.verdict)} />;
  return <Badge look={scan.status === 'queued' ? RUNNING : QUEUED} note={scan.pending ? `${scan.pending} left` : undefined} />;
}


function Row({ row, index, current, onFocus }: { row: Submission; index: number; current: boolean; onFocus: () => void }) {
  const href = sampleHref(row.sha256);
  const open = (event: MouseEvent): void => {
    if ((event.target as Element).closest('a, button') || getSelection()?.toString()) return;
    if (event.ctrlKey || event.metaKey) window.open(href);
    else go(href);
  };
  return (
    <tr onClick={open} class={current ? 'current' : ''} aria-rowindex={index + 2} data-id={row.id}>
      <td>
        <VerdictCell scan={row.scan} />
      </td>
      <td class="num" title={MEANS}>
        {countsOf(row.scan)}
      </td>
      <td>
        <a href={href} onFocus={onFocus}>
          <ForeignCell text={row.name} />
        </a>
      </td>
      <td class="p1">
        <Why scan={row.scan} />
      </td>
      <td class="p3">{row.scan.type ? <ForeignCell text={row.scan.type} /> : null}</td>
      <td class="num p2" title={`${count(row.size)} bytes`}>
        {size(row.size)}
      </td>
      <td class="p3 mono dim" title={row.sha256}>
        {row.sha256.slice(0, 12)}
      </td>
      <td class="p4">
        {row.batch ? (
          <a class="quiet" href={`/?batch=${encodeURIComponent(row.batch)}`} tabIndex={-1}>
            <ForeignCell text={row.batch} mono />
          </a>
        ) : null}
      </td>
      <td class="num p2">
        <Ago iso={row.submitted_at} />
      </td>
    </tr>
  );
}

function TableHead() {
  return (
    <>
      <colgroup>
        <col class="w-verdict" />
        <col class="w-counts" />
        <col />
        <col class="w-why p1" />
        <col class="w-type p3" />
        <col class="w-size p2" />
        <col class="w-hash p3" />
        <col class="w-batch p4" />
        <col class="w-when p2" />
      </colgroup>
      <thead>
        <tr>
          <th>Verdict</th>
          <th class="num" title={MEANS}>
            N/M
          </th>
          <th>Name</th>
          <th class="p1">Label, or why</th>
          <th class="p3">Type</th>
          <th class="num p2">Size</th>
          <th class="p3">SHA-256</th>
          <th class="p4">Batch</th>
          <th class="num p2">Submitted</th>
        </tr>
      </thead>
    </>
  );
}

/** Rows that came while the reader was further down. */
function NewRows({ list }: { list: SubmissionList }) {
  const n = list.waiting.value.length;
  if (!n) return null;
  return (
    <button type="button" class="new-rows" onClick={() => list.showWaiting()}>
      {count(n)}
      {list.waitingOver.value ? '+' : ''} new
    </button>
  );
}

function Foot({ list }: { list: SubmissionList }) {
  if (list.moreError.value)
    return (
      <Trouble what="The next rows could not be read" why={list.moreError.value.message} kept="The rows above are complete."
        button="Read on" onPress={() => void list.loadMore()} />
    );
  if (list.rows.value.length >= ROWS_MAX)
    return <p class="dim foot">{count(ROWS_MAX)} rows are shown; narrow the list by verdict, batch or name to see older ones.</p>;
  if (list.loadingMore.value) return <p class="dim foot">reading on</p>;
  return null;
}

function NothingYet({ filter }: { filter: Filter }) {
  if (filter.batch || filter.verdict || filter.q)
    return (
      <Empty title="Nothing matches">
        <p>
          New submissions that match appear here by themselves. <a href="/">Show all submissions</a>
        </p>
      </Empty>
    );
  return (
    <Empty title="Nothing has been submitted yet">
      <p>
        Drop files or a folder anywhere on this page, or press <kbd>o</kbd> to choose some. From a terminal:{' '}
        <code>phagescan submit PATH</code>
      </p>
    </Empty>
  );
}

/** A search looks at so many rows at a time; it may have to look further back for the first that matches. */
function Searching({ list }: { list: SubmissionList }) {
  const error = list.moreError.value;
  useEffect(() => {
    if (!list.loadingMore.value && !error) void list.loadMore();
  }, [list, list.loadingMore.value, error]);
  if (error)
    return (
      <Trouble what="The search broke off" why={error.message} kept="Nothing was found up to there." button="Search on"
        onPress={() => void list.loadMore()} />
    );
  return (
    <p class="dim foot" role="status">
      Nothing among the newest; searching further back.
    </p>
  );
}

function Table({ list }: { list: SubmissionList }) {
  const scroller = useRef<HTMLDivElement>(null);
  const rows = list.rows.value;
  const view = useWindow({ count: rows.length, scroller, startAt: list.scrollTop });
  const cursor = list.cursor.value;

  useLayoutEffect(() => {
    if (scroller.current) scroller.current.scrollTop = list.scrollTop;
  }, [list]);
  useLayoutEffect(() => {
    if (list.atTop && list.scrollTop === 0 && scroller.current) scroller.current.scrollTop = 0;
  }, [rows]);
  useEffect(() => {
    if (view.last >= rows.length - 30) void list.loadMore();
  }, [view.last, rows.length]);

  const move = (to: number): void => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (!row) return;
    list.cursor.value = row.id;
    view.scrollTo(rows.indexOf(row));
    // The row may become an element only after the scroll.
    requestAnimationFrame(() =>
      requestAnimationFrame(() =>
        scroller.current?.querySelector<HTMLElement>(`tr[data-id="${row.id}"] a`)?.focus({ preventScroll: true }),
      ),
    );
  };
  const at = cursor === null ? -1 : rows.findIndex((row) => row.id === cursor);
  useKeys({
    j: () => move(at + 1),
    k: () => move(at < 0 ? 0 : at - 1),
    g: () => {
      list.showWaiting();
      move(0);
    },
    n: () => list.showWaiting(),
    Enter: (event) => {
      const row = rows[at];
      if (row && !(event.target as Element).closest('a, button')) go(sampleHref(row.sha256));
    },
  });
  const onScroll = (event: Event): void => {
    list.scrollTop = (event.currentTarget as HTMLElement).scrollTop;
    list.atTop = list.scrollTop < 4;
    if (list.atTop && list.waiting.value.length) list.showWaiting();
  };
  return (
    <div class="scroller" ref={scroller} onScroll={onScroll}>
      <NewRows list={list} />
      <table class="rows submissions" aria-label="submissions" aria-rowcount={list.atEnd.value ? rows.length + 1 : -1}>
        <TableHead />
        <tbody>
          <tr class="spacer" style={{ height: `${view.above}px` }} />
          {view.indices.map((i) => {
            const row = rows[i];
            return row ? (
              <Row key={row.id} row={row} index={i} current={row.id === cursor} onFocus={() => (list.cursor.value = row.id)} />
            ) : null;
          })}
          <tr class="spacer" style={{ height: `${view.below}px` }} />
        </tbody>
      </table>
      <Foot list={list} />
    </div>
  );
}

function Body({ list }: { list: SubmissionList }) {
  if (list.state.value === 'loading') return <Skeleton rows={12} />;
  if (list.state.value === 'failed')
    return (
      <Trouble what="The submissions could not be read" why={list.error.value?.message ?? ''} kept="Nothing is lost by that."
        button="Read again" onPress={() => void list.load()} />
    );
  if (!list.rows.value.length) return list.atEnd.value ? <NothingYet filter={list.filter} /> : <Searching list={list} />;
  return <Table key={JSON.stringify(list.filter)} list={list} />;
}

export function SubmissionsPage() {
  const filter = filterOf(place.value.query);
  const list = listFor(filter);
  return (
    <div class="page fill">
      <h1 class="unseen-heading">Submissions</h1>
      <Toolbar filter={filter} />
      <Body list={list} />
    </div>
  );
}
