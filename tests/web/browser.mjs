// The page against the real programs, by a real browser. node browser.mjs, with PHAGESCAN_BUILD (the build tree),
// PHAGESCAN_SOURCE (the sources), PHAGESCAN_SHOTS (where pictures go).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { makeFiles } from './files.mjs';
import { Tab, openBrowser } from './rig.mjs';
import { Stack, waitFor } from './stack.mjs';

const build = path.resolve(process.env.PHAGESCAN_BUILD ?? process.argv[2] ?? 'build');
const source = path.resolve(process.env.PHAGESCAN_SOURCE ?? '.');
const shots = path.resolve(process.env.PHAGESCAN_SHOTS ?? path.join(build, 'tests/web/shots'));

const stack = new Stack(build, source);
let browser;

const stories = {
  async 'a stranger is told how to get in'() {
    const context = await browser.newContext();
    const tab = await Tab.open(context, { allowed: [/401/] });
    await tab.page.goto(stack.url);
    await tab.mark();
    await tab.page.getByText('phagescan open').waitFor();
    await tab.check();
    await context.close();
  },

  async 'the one-time address signs in, once'({ tab }) {
    const address = await stack.address();
    await tab.page.goto(address);
    await tab.mark();
    await tab.page.getByText('Nothing has been submitted yet').waitFor();
    await tab.page.locator('.live-live').waitFor();
    assert.ok(!tab.page.url().includes('token'));
    await tab.check();
    const other = await browser.newContext();
    const second = await Tab.open(other, { allowed: [/40[013]/] });
    const answer = await second.page.goto(address);
    assert.ok(answer.status() >= 400, `a used address answered ${answer.status()}`);
    await other.close();
  },

  async 'dropped files turn up, and their badges turn without a reload'({ tab, files }) {
    await tab.drop(files.eicar, files.clean, files.empty);
    await tab.rowSays('eicar.com', 'malicious');
    await tab.rowSays('clean.txt', 'inconclusive');
    await tab.rowSays('empty.bin', 'inconclusive');
    assert.match(await tab.row('clean.txt').textContent(), /bundled test signatures/);
    assert.match(await tab.page.locator('.banners').textContent(), /Bundled test signatures/);
    assert.match(await tab.page.locator('.dock-bar').textContent(), /3 files taken/);
    await tab.check();
  },

  async 'a folder is walked, hostile names are text'({ tab, files }) {
    await tab.drop(files.folder, files.hostile, files.script, files.long);
    await tab.rowSays('three.com', 'malicious');
    await tab.rowSays('two.txt', 'inconclusive');
    await tab.rowSays('onerror=alert(1)', 'inconclusive');
    await tab.rowSays('<script>', 'inconclusive');
    await tab.rowSays('longlong', 'inconclusive');
    const name = await tab.row('onerror=alert(1)').locator('a').first().textContent();
    assert.equal(name, '<img src=x onerror=alert(1)>RLOtxt.exeLF.doc');
    assert.equal(await tab.page.locator('img[src=x]').count(), 0);
    const row = await tab.row('longlong').boundingBox();
    assert.ok(row.height <= 29, `a long name makes its row ${row.height} px high`);
    await tab.shot(shots, 'submissions');
    await tab.check();
  },

  async 'the list is filtered by the address, and by keyboard opened'({ tab }) {
    await tab.page.getByRole('link', { name: 'malicious', exact: true }).first().click();
    await waitFor('the filter', 10, async () => (await tab.page.locator('tr[data-id]').count()) === 2);
    assert.match(tab.page.url(), /verdict=malicious/);
    await tab.page.keyboard.press('j');
    await tab.page.keyboard.press('j');
    await tab.page.keyboard.press('k');
    await tab.page.locator('tr.current a:focus').waitFor();
    await tab.page.keyboard.press('Enter');
    await tab.page.locator('[data-test=verdict]', { hasText: 'malicious' }).waitFor();
    await tab.check();
  },

  async 'the report says what, who and why'({ tab }) {
    const text = await tab.page.locator('article').innerText();
    for (const wanted of [/of 2 engines found something|of 1 engine found something/, /clamav/, /yara/, /hashes/, /type/,
      /44d88612fea8a8f36de82e1278abb02f/, /275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f/, /68 B/, /ssdeep/])
      assert.match(text, wanted);
    assert.equal(await tab.page.locator('[data-engine=clamav] .badge', { hasText: 'malicious' }).count(), 1);
    await tab.shot(shots, 'report-malicious');
    await tab.check();
  },

  async 'a rescan by keyboard becomes a second scan, live'({ tab }) {
    const scans = tab.page.locator('.report-history tbody tr');
    const before = await scans.count();
    await tab.page.keyboard.press('r');
    await waitFor('the second scan', 30, async () => (await scans.count()) > before);
    await scans.first().locator('.badge', { hasText: 'malicious' }).waitFor();
    assert.match(await scans.first().innerText(), /rescan/);
    await scans.last().locator('a').click();
    await tab.page.getByText('This is the scan of').waitFor();
    await tab.page.goBack();
    await tab.page.keyboard.press('u');
    await tab.page.locator('table.submissions').waitFor();
    await tab.check();
  },

  async 'many files at once, and one over the limit'({ tab, files }) {
    await tab.drop(files.many, files.over);
    await waitFor('the uploads', 60, async () => /300 files taken/.test(await tab.page.locator('.dock-bar').textContent()));
    assert.match(await tab.page.locator('.dock-bar').textContent(), /1 not taken/);
    await tab.page.getByRole('button', { name: 'Details' }).click();
    await tab.page.getByRole('button', { name: 'only those not taken' }).click();
    assert.match(await tab.page.locator('.dock-items').innerText(), /over.iso[^]*not taken:[^]*limit/);
    await tab.shot(shots, 'uploads', ['dark']);
    await waitFor('all verdicts', 120, async () => /inconclusive\s*300/.test(await tab.page.locator('.found-so-far').textContent()));
    await tab.page.getByRole('button', { name: 'Fewer details' }).click();
    assert.equal(await tab.page.locator('.badge', { hasText: 'scanning' }).count(), 0);
    assert.ok((await tab.page.locator('tr[data-id]').count()) < 100, 'only rows in view are elements');
    await tab.check();
  },

  async 'new rows wait while the reader is further down'({ tab, files }) {
    const scroller = tab.page.locator('.scroller');
    await scroller.evaluate((element) => (element.scrollTop = 5000));
    await waitFor('rows further down', 10, async () => (await scroller.evaluate((element) => element.scrollTop)) > 4000);
    const before = await tab.rowInView();
    await tab.drop(files.later);
    await tab.page.getByRole('button', { name: '1 new' }).waitFor();
    assert.deepEqual(await tab.rowInView(), before, 'the rows moved');
    await tab.page.keyboard.press('n');
    await tab.rowSays('later.txt', 'inconclusive');
    await tab.check();
  },

  async 'a hash that nobody sent yet: its report appears when the file comes'({ tab, files }) {
    const sha256 = createHash('sha256').update(fs.readFileSync(files.awaited)).digest('hex');
    tab.allowed = [/404/]; // what the server answers until then
    await tab.page.keyboard.press('/');
    await tab.page.keyboard.type(sha256);
    await tab.page.keyboard.press('Enter');
    await tab.page.getByText('This sample is not here').waitFor();
    await tab.drop(files.awaited);
    await tab.page.locator('[data-test=verdict]', { hasText: 'inconclusive' }).waitFor();
    await tab.check();
    tab.allowed = [];
  },

  async 'engines and workers are shown as they are'({ tab }) {
    await tab.page.getByRole('link', { name: 'Engines' }).click();
    await tab.page.locator('tr', { hasText: 'clamav' }).locator('.badge', { hasText: 'offered' }).waitFor();
    await tab.shot(shots, 'engines', ['light']);
    await tab.page.getByRole('link', { name: 'Workers' }).click();
    await tab.page.locator('.badge', { hasText: 'answers' }).waitFor();
    await tab.shot(shots, 'workers', ['dark']);
    await tab.page.keyboard.press('?');
    await tab.page.getByRole('dialog').waitFor();
    await tab.page.keyboard.press('Escape');
    await tab.page.getByRole('link', { name: 'Submissions' }).click();
    await tab.page.locator('table.submissions').waitFor();
    await tab.check();
  },

  async 'an engine without a worker is named, and back-filled when one comes'({ tab, files, workers }) {
    await workers.all.end('SIGTERM');
    const fewer = stack.worker('clamav,type,hashes');
    await fewer.start();
    await stack.offered('clamav', 'type', 'hashes');
    await tab.drop(files.late);
    await tab.rowSays('late.txt', 'inconclusive');
    await tab.row('late.txt').locator('a').first().click();
    await tab.page.locator('[data-engine=yara] .badge', { hasText: 'unavailable' }).waitFor();
    await tab.page.getByText('it will be back-filled when one comes').waitFor();
    await tab.shot(shots, 'report-unavailable', ['light']);
    await fewer.end('SIGTERM');
    await stack.worker('clamav,yara,type,hashes').start();
    await tab.page.locator('[data-engine=yara] .badge', { hasText: 'undetected' }).waitFor({ timeout: 90_000 });
    await tab.page.locator('.report-history', { hasText: 'back-fill' }).waitFor();
    await tab.shot(shots, 'report-inconclusive', []);
    await tab.page.keyboard.press('u');
    await tab.check();
  },

  async 'of two tabs one holds the stream; when it closes the other goes on'({ tab, context, files }) {
    const other = await Tab.open(context);
    await other.page.goto(stack.url);
    await other.mark();
    await other.page.locator('.live-live').waitFor();
    fs.writeFileSync(files.clean, 'nothing to see in here, again\n');
    await tab.drop(files.clean);
    await other.rowSays('clean.txt', 'inconclusive');
    const leader = tab.page; // opened first
    await leader.close();
    await other.page.locator('.live-live').waitFor();
    fs.writeFileSync(files.clean, 'nothing to see in here, a third time\n');
    const rows = () => other.page.locator('tr[data-id]', { hasText: 'clean.txt' }).count();
    const before = await rows();
    await other.drop(files.clean);
    await waitFor('a third clean.txt', 30, async () => (await rows()) > before);
    await other.rowSays('clean.txt', 'inconclusive');
    await other.check();
    return { tab: other };
  },

  async 'an upload goes on after the master was killed in its middle'({ tab, files }) {
    tab.allowed = [/ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|Failed to load resource/];
    let patches = 0;
    const count = (request) => (patches += request.method() === 'PATCH' ? 1 : 0);
    tab.page.on('request', count);
    await tab.drop(files.large);
    await waitFor('the second piece', 30, () => patches >= 2);
    await stack.master.end('SIGKILL');
    await tab.page.locator('.live-reconnecting').waitFor();
    await tab.page.locator('.waits').waitFor();
    await stack.master.start(['--port', String(stack.port)]);
    await tab.page.locator('.live-live').waitFor({ timeout: 60_000 });
    await tab.rowSays('large.iso', 'inconclusive', 120_000);
    assert.match(await tab.page.locator('.dock-bar').textContent(), /1 file taken/);
    tab.page.off('request', count);
    await tab.check();
  },
};

async function main() {
  const files = makeFiles(fs.mkdtempSync(path.join(stack.dir, 'drop.')));
  await stack.start();
  const workers = { all: stack.worker('clamav,yara,type,hashes') };
  await workers.all.start();
  await stack.offered('clamav', 'yara', 'type', 'hashes');
  browser = await openBrowser();
  const context = await browser.newContext({ viewport: { width: 1360, height: 800 } });
  let tab = await Tab.open(context);
  for (const [name, story] of Object.entries(stories)) {
    const begun = Date.now();
    try {
      tab = (await story({ tab, context, files, workers }))?.tab ?? tab;
    } catch (error) {
      fs.mkdirSync(shots, { recursive: true });
      await tab.page.screenshot({ path: path.join(shots, 'failed.png') }).catch(() => {});
      error.message = `${name}: ${error.message}`;
      throw error;
    }
    console.log(`ok ${Date.now() - begun} ms: ${name}`);
  }
}

let failed = false;
try {
  await main();
} catch (error) {
  failed = true;
  console.error(error);
  console.error(stack.tails());
} finally {
  await browser?.close().catch(() => {});
  await stack.close();
}
process.exit(failed ? 1 : 0);
