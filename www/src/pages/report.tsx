// A sample's report, in the order in which it is read: verdict, why, what it is, engines, traits, history.
import { signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { ApiError, post, sentenceOf } from '../api/http';
import type { Engine, LiveEvent, Result, SampleReport, ScanBrief, ScanReport } from '../api/types';
import { LiveData } from '../model/live-data';
import { go, place, sampleHref } from '../router';
import { Ago, Copy, Empty, Foreign, Skeleton, Trouble } from '../ui/bits';
import { count, plural, size, utc } from '../ui/format';
import { useKeys } from '../ui/keys';
import { EngineTable } from './report-engines';
import { History } from './report-history';
import { Files } from './report-files';
import { Traits } from './report-traits';
import { VerdictBlock } from './report-verdict';

/** True for events after which the report reads otherwise. */
const concerns = (sha256: string) => (event: LiveEvent): boolean =>
  (event.event === 'submission' && event.submission.sha256 === sha256) ||
  ((event.event === 'scan' || event.event === 'result') && event.sha256 === sha256);

interface Rescan {
  busy: boolean;
  said: string;
  error: string;
}

function useReport(sha256: string, scan: string | null) {
  const report = useMemo(() => new LiveData<SampleReport>(`/samples/${sha256}`, concerns(sha256)), [sha256]);
  const earlier = useMemo(
    () => (scan && /^\d+$/.test(scan) ? new LiveData<ScanReport>(`/scans/${scan}`, concerns(sha256)) : null),
    [sha256, scan],
  );
  const engines = useMemo(() => new LiveData<{ items: Engine[] }>('/engines', (event) => event.event === 'fleet'), []);
  const rescan = useMemo(() => signal<Rescan>({ busy: false, said: '', error: '' }), [sha256]);
  useEffect(() => () => report.close(), [report]);
  useEffect(() => () => earlier?.close(), [earlier]);
  useEffect(() => () => engines.close(), [engines]);
  const startRescan = async (): Promise<void> => {
    if (rescan.value.busy) return;
    rescan.value = { busy: true, said: '', error: '' };
    try {
      await post(`/samples/${sha256}/scans`, {});
      rescan.value = { busy: false, said: 'Rescan queued.', error: '' };
      if (scan) go(sampleHref(sha256));
      await report.read();
    } catch (error) {
      rescan.value = { busy: false, said: '', error: sentenceOf(error) };
    }
  };
  return { report, earlier, engines, rescan, startRescan };
}

function Hash({ name, value }: { name: string; value: string | null }) {
  if (!value) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <span class="mono hash">{value}</span>
        <Copy text={value} what={name} />
      </dd>
    </div>
  );
}

/** Names are the submitters'; the first is the newest. */
function Names({ names }: { names: string[] }) {
  if (!names.length) return null;
  return (
    <div>
      <dt>{names.length === 1 ? 'Name' : 'Names'}</dt>
      <dd>
        <ul class="names">
          {names.map((name, i) => (
            <li key={i}>
              <Foreign text={name} max={110} />
            </li>
          ))}
        </ul>
      </dd>
    </div>
  );
}

function Facts({ report }: { report: SampleReport }) {
  return (
    <section class="facts" aria-label="what it is">
      <dl>
        <div>
          <dt>Type</dt>
          <dd>{report.type ? <Foreign text={report.type} max={100} /> : <span class="dim">not known yet</span>}</dd>
        </div>
        <div>
          <dt>Size</dt>
          <dd>
            <span class="num">{size(report.size)}</span>
            {report.size >= 1000 ? <span class="dim num"> {count(report.size)} bytes</span> : null}
          </dd>
        </div>
        <Hash name="SHA-256" value={report.sha256} />
        <Hash name="SHA-1" value={report.sha1} />
        <Hash name="MD5" value={report.md5} />
        <Names names={report.names} />
        <div>
          <dt>First seen</dt>
          <dd>
            <Ago iso={report.first_seen} />, {plural(report.submissions, 'submission')}
          </dd>
        </div>
      </dl>
    </section>
  );
}

function Missing({ sha256 }: { sha256: string }) {
  return (
    <Empty title="This sample is not here">
      <p>
        Nobody has submitted a file with SHA-256 <span class="mono hash">{sha256}</span>. Drop the file anywhere on this page to
        scan it: the report appears here by itself.
      </p>
    </Empty>
  );
}

function NoReport({ sha256, data }: { sha256: string; data: LiveData<SampleReport> }) {
  const error = data.error.value;
  if (!error) return <Skeleton rows={10} />;
  if (error instanceof ApiError && error.status === 404) return <Missing sha256={sha256} />;
  return (
    <Trouble what="The report could not be read" why={error.message} kept="The sample and its results are as they were."
      button="Read again" onPress={() => void data.read()} />
  );
}

function EarlierNote({ scan, newest, sha256 }: { scan: ScanBrief; newest: ScanBrief; sha256: string }) {
  if (scan.id === newest.id) return null;
  return (
    <p class="banner quiet" role="note">
      This is the scan of {utc(scan.submitted_at)}. <a href={sampleHref(sha256)}>Show the newest</a>
    </p>
  );
}

function RescanButton({ rescan, onPress }: { rescan: Rescan; onPress: () => void }) {
  return (
    <span class="rescan">
      <button type="button" onClick={onPress} disabled={rescan.busy} title="scan it again with all engines (r)">
        Rescan
      </button>
      <span class="dim" role="status">
        {rescan.said}
      </span>
      {rescan.error ? (
        <span class="refused" role="alert">
          The rescan was not started: <Foreign text={rescan.error} max={200} />
        </span>
      ) : null}
    </span>
  );
}

function titleOf(report: SampleReport): string {
  return report.names[0] ?? report.sha256;
}

export function ReportPage({ sha256 }: { sha256: string }) {
  const wanted = place.value.query.get('scan');
  const { report, earlier, engines, rescan, startRescan } = useReport(sha256, wanted);
  useKeys({ r: () => void startRescan(), u: () => go('/') });

  const sample = report.value.value;
  if (!sample) return <NoReport sha256={sha256} data={report} />;
  if (earlier && !earlier.value.value)
    return earlier.error.value ? (
      <Trouble what={`Scan ${wanted} could not be read`} why={earlier.error.value.message} button="Show the newest scan"
        onPress={() => go(sampleHref(sha256))} />
    ) : (
      <Skeleton rows={10} />
    );
  const scan: ScanBrief = earlier?.value.value ?? sample.scan;
  const results: Result[] = earlier?.value.value?.results ?? sample.results;
  return (
    <article class="page report">
      <div class="report-title">
        <h1>
          <Foreign text={titleOf(sample)} max={90} />
        </h1>
        <RescanButton rescan={rescan.value} onPress={() => void startRescan()} />
      </div>
      <EarlierNote scan={scan} newest={sample.scan} sha256={sha256} />
      <div class="report-top">
        <VerdictBlock scan={scan} results={results} engines={engines.value.value?.items ?? []} />
        <Facts report={sample} />
      </div>
      <EngineTable results={results} engines={engines.value.value?.items ?? []} />
      <Traits results={results} />
      <Files results={results} />
      <History scans={sample.scans} shown={scan.id} sha256={sha256} />
    </article>
  );
}
