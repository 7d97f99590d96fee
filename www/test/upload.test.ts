import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, retryAfterOf } from '../src/api/http';
import { Gate, WIDTH_MAX } from '../src/upload/gate';
import { refusalOf } from '../src/upload/item';
import { answerOf, frame, headerOf } from '../src/upload/wire';

Object.assign(globalThis, { window: globalThis });

test('a frame is a length, a header and bytes', () => {
  const header = headerOf(3, 'a\ud800"\n', 2, 'dir/a', 'web-1');
  const bytes = frame(header, new Uint8Array([7, 8]).buffer);
  const length = new DataView(bytes.buffer).getUint32(0);
  const json = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  assert.deepEqual(json, { n: 3, name: 'a\ufffd"\n', size: 2, batch: 'web-1', priority: 'interactive', source_path: 'dir/a' });
  assert.deepEqual([...bytes.subarray(4 + length)], [7, 8]);
});

test('an answer is read line by line; a line cut short is left out; a broken end says why', () => {
  const good = '{"n":0,"sha256":"aa","submission":1,"scan":2,"known":false}\n';
  const bad = '{"n":1,"problem":{"status":413,"code":"too-large","detail":"too large"}}\n';
  const end = '{"n":null,"at":99,"problem":{"status":400,"code":"header","detail":"no header there"}}\n';
  const answer = answerOf(`${good}${bad}${end}`);
  assert.equal(answer.lines.length, 2);
  assert.equal(answer.broken?.detail, 'no header there');
  assert.equal(answerOf(`${good}{"n":1,"sha2`).lines.length, 1);
});

test('a full disk may be retried, a file over the limit may not', () => {
  assert.ok(refusalOf(507, 'x').retryable);
  assert.match(refusalOf(507, 'x').message, /disk is full/);
  assert.ok(!refusalOf(413, 'x').retryable);
});

test('Retry-After is read as seconds, and is bounded', () => {
  assert.equal(retryAfterOf('7'), 7);
  assert.equal(retryAfterOf('9999999'), 300);
  assert.equal(retryAfterOf('soon'), null);
  assert.equal(retryAfterOf(null), null);
});

test('the gate lets so many through, and halves when the server is busy', async () => {
  const gate = new Gate();
  let inside = 0;
  const enter = () => void gate.enter().then(() => (inside += 1));
  for (let i = 0; i < 6; i++) enter();
  await Promise.resolve();
  assert.equal(inside, WIDTH_MAX);

  gate.refused(new ApiError(503, 'busy', null, 60));
  gate.refused(new ApiError(503, 'busy', null, 60));
  for (let i = 0; i < WIDTH_MAX; i++) gate.leave();
  await Promise.resolve();
  assert.equal(inside, WIDTH_MAX, 'nothing goes while it waits');
  assert.match(gate.wait.value?.why ?? '', /busy/);

  gate.open();
  await Promise.resolve();
  assert.equal(inside, WIDTH_MAX + 1, 'one at a time afterwards');
});
