import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutMiddle, headAndTail, piecesOf, visible, wellFormed } from '../src/ui/visible';

test('plain text stays as it is', () => {
  assert.deepEqual(piecesOf('summer 報告書 (1).pdf'), [{ text: 'summer 報告書 (1).pdf', sign: false }]);
  assert.deepEqual(piecesOf(''), []);
});

test('what the eye misses becomes a sign', () => {
  assert.equal(visible('a\nb\u0000c\u007f'), 'a⟨LF⟩b⟨NUL⟩c⟨DEL⟩');
  assert.equal(visible('gpj.\u202eexe'), 'gpj.⟨RLO⟩exe');
  assert.equal(visible('\u2066\u2069\u200b\ufeff'), '⟨LRI⟩⟨PDI⟩⟨ZWSP⟩⟨BOM⟩');
  assert.equal(visible('\u{e0041}\ud800'), '⟨U+E0041⟩⟨U+D800⟩');
  assert.equal(visible('\u3164'), '⟨U+3164⟩');
});

test('markup is not touched: escaping is done elsewhere', () => {
  assert.equal(visible('<img src=x onerror=alert(1)>'), '<img src=x onerror=alert(1)>');
});

test('the middle is cut, the ends and whole code points stay', () => {
  assert.equal(cutMiddle('short', 10), 'short');
  const cut = cutMiddle(`${'😀'.repeat(100)}.exe`, 30);
  assert.equal([...cut].length, 30);
  assert.ok(cut.endsWith('.exe') && cut.includes('…') && wellFormed(cut) === cut);
  assert.deepEqual(headAndTail('abcdefghij.txt', 4), ['abcdefghij', '.txt']);
  assert.deepEqual(headAndTail('abc.txt', 4), ['abc.txt', '']);
});

test('half surrogate pairs are replaced before they become JSON', () => {
  assert.equal(wellFormed('a\ud800b\udc00c😀'), 'a\ufffdb\ufffdc😀');
});
