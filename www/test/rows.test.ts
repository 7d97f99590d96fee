import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LiveEvent, ScanBrief, Submission } from '../src/api/types';
import { apply, changesOf, find, merge, passes } from '../src/model/rows';

const scan = (id: number, more: Partial<ScanBrief> = {}): ScanBrief => ({
  id, status: 'queued', verdict: null, positives: 0, total: 0, failed: 0, incomplete: 0, pending: 4, label: null, reasons: [],
  type: null, profile: 'full', cause: 'submission', submitted_at: '2026-03-01T00:00:00Z', finished_at: null, seq: null, ...more,
});
const row = (id: number, more: Partial<Submission> = {}): Submission => ({
  id, sha256: String(id).padStart(64, '0'), size: 1, name: `f${id}`, source_path: null, batch: null, tags: ['kept'],
  visibility: 'everyone', owner: 'local', submitted_at: '2026-03-01T00:00:00Z', scan: scan(id * 10), ...more,
});
const done = (id: number): LiveEvent => ({
  event: 'scan', seq: 1, sha256: String(id).padStart(64, '0'), size: 1,
  scan: scan(id * 10, { status: 'done', verdict: 'malicious', pending: 0, positives: 1, total: 1, label: 'X' }),
  submissions: [{ id, name: `f${id}`, source_path: null, batch: null }],
});

test('rows are found in descending ids', () => {
  const rows = [row(9), row(5), row(2)];
  assert.equal(find(rows, 9), 0);
  assert.equal(find(rows, 2), 2);
  assert.equal(find(rows, 6), -2);
  assert.equal(find(rows, 1), -4);
  assert.equal(find([], 1), -1);
});

test('merging keeps order, each row once, and the newer state of a scan', () => {
  const finished = row(5, { scan: scan(50, { status: 'done', verdict: 'nothing-found' }) });
  const merged = merge([row(7), finished], [row(8), row(5), row(1)]);
  assert.deepEqual(merged.map((one) => one.id), [8, 7, 5, 1]);
  assert.equal(merged[2]?.scan.status, 'done');
});

test('a verdict renews its row, and keeps what the event does not name', () => {
  const rows = [row(3), row(2)];
  const next = apply(rows, changesOf([done(2)]));
  assert.equal(next[1]?.scan.verdict, 'malicious');
  assert.deepEqual(next[1]?.tags, ['kept']);
  assert.equal(next[0], rows[0], 'other rows keep their identity');
  assert.equal(apply(next, changesOf([])), next);
});

test('a result that arrives after the verdict does not undo it', () => {
  const result: LiveEvent = { event: 'result', scan: 20, sha256: '', engine: 'yara', outcome: 'undetected', label: null, pending: 2 };
  const counted = apply([row(2)], changesOf([result]));
  assert.equal(counted[0]?.scan.pending, 2);
  const late = apply(apply(counted, changesOf([done(2)])), changesOf([result]));
  assert.equal(late[0]?.scan.status, 'done');
  assert.equal(late[0]?.scan.pending, 0);
});

test('a verdict whose submission came in the same group is one row with all fields', () => {
  const { fresh } = changesOf([{ event: 'submission', submission: row(4) }, done(4)]);
  assert.equal(fresh.length, 1);
  assert.deepEqual(fresh[0]?.tags, ['kept']);
  assert.equal(fresh[0]?.scan.verdict, 'malicious');
});

test('the filter decides as the server does', () => {
  const malicious = row(1, { name: 'Invoice.PDF', batch: 'b', scan: scan(10, { verdict: 'malicious' }) });
  const filter = { batch: '', verdict: '', q: '' };
  assert.ok(passes(malicious, filter));
  assert.ok(passes(malicious, { batch: 'b', verdict: 'malicious', q: 'invoice' }));
  assert.ok(passes(malicious, { ...filter, q: malicious.sha256 }));
  assert.ok(!passes(malicious, { ...filter, batch: 'c' }));
  assert.ok(!passes(malicious, { ...filter, verdict: 'suspicious' }));
  assert.ok(!passes(malicious, { ...filter, q: 'receipt' }));
});
