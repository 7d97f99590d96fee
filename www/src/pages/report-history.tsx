// Scans of the sample, newest first; each can be looked at as it was.
import type { ScanBrief } from '../api/types';
import { sampleHref } from '../router';
import { Ago, Badge, Why } from '../ui/bits';
import { RUNNING, countsOf, verdictLook } from '../ui/outcome';

const CAUSES: Record<string, string> = {
  submission: 'submitted',
  rescan: 'rescan',
  backfill: 'back-fill of what was missing',
};

function Row({ scan, newest, shown, sha256 }: { scan: ScanBrief; newest: boolean; shown: boolean; sha256: string }) {
  return (
    <tr class={shown ? 'current' : ''}>
      <td>
        <a href={sampleHref(sha256, newest ? undefined : scan.id)} aria-current={shown ? 'true' : undefined}>
          <Ago iso={scan.submitted_at} />
        </a>
      </td>
      <td>
        <Badge look={scan.verdict ? verdictLook(scan.verdict) : RUNNING} />
      </td>
      <td class="num">{countsOf(scan)}</td>
      <td>
        <Why scan={scan} />
      </td>
      <td>{scan.profile}</td>
      <td>{CAUSES[scan.cause] ?? scan.cause}</td>
    </tr>
  );
}

export function History({ scans, shown, sha256 }: { scans: ScanBrief[]; shown: number; sha256: string }) {
  return (
    <section aria-label="scans">
      <h2>Scans</h2>
      <div class="wide" role="region" tabIndex={0} aria-label="scans, table">
        <table class="rows report-history">
          <colgroup>
            <col class="w-when" />
            <col class="w-verdict" />
            <col class="w-counts" />
            <col />
            <col class="w-engine" />
            <col class="w-cause" />
          </colgroup>
          <thead>
            <tr>
              <th>When</th>
              <th>Verdict</th>
              <th class="num">N/M</th>
              <th>Label, or why</th>
              <th>Profile</th>
              <th>Cause</th>
            </tr>
          </thead>
          <tbody>
            {scans.map((scan, i) => (
              <Row key={scan.id} scan={scan} newest={i === 0} shown={scan.id === shown} sha256={sha256} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
