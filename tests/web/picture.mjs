// Makes README's picture from the real programs: node picture.mjs OUT.png, with the environment of browser.mjs. By hand,
// when the page has changed.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { makeFiles } from './files.mjs';
import { Tab, openBrowser } from './rig.mjs';
import { Stack, waitFor } from './stack.mjs';

const out = path.resolve(process.argv[2] ?? 'page.png');
const stack = new Stack(path.resolve(process.env.PHAGESCAN_BUILD ?? 'build'), path.resolve(process.env.PHAGESCAN_SOURCE ?? '.'));

/** A mail room's morning: ordinary files, test files, one that cannot be looked into. */
function collect(dir) {
  const { eicar } = makeFiles(path.join(dir, 'made'));
  const inbox = path.join(dir, 'inbox');
  fs.mkdirSync(inbox);
  const copy = (from, name) => fs.existsSync(from) && fs.copyFileSync(from, path.join(inbox, name));
  copy(eicar, 'eicar.com');
  copy('/bin/ls', 'ls');
  copy('/usr/share/common-licenses/GPL-3', 'licence.txt');
  copy('/usr/share/clamav-testfiles/clam.zip', 'order 4411.zip');
  copy('/usr/share/clamav-testfiles/clam.pdf', 'invoice_2291.pdf');
  copy('/usr/share/clamav-testfiles/clam-upx.exe', 'setup.exe');
  copy('/usr/share/clamav-testfiles/clam.ole.doc', 'minutes.doc');
  copy('/usr/share/icons/hicolor/48x48/apps/chromium.png', 'logo.png');
  copy('/bin/gzip', 'gzip');
  copy('/usr/lib/x86_64-linux-gnu/libz.so.1', 'libz.so.1');
  fs.writeFileSync(path.join(inbox, 'catalogue.pdf'), '%PDF-1.4\n1 0 obj << /S /Launch /F (calc.exe) >> endobj\n');
  fs.writeFileSync(path.join(inbox, 'summer_\u202egpj.exe'), 'MZ not a picture\n');
  fs.writeFileSync(path.join(inbox, '<img src=x onerror=alert(1)>.html'), '<p>hello</p>\n');
  // Large enough to be seen while they are scanned.
  const bulk = fs.readFileSync('/usr/lib/x86_64-linux-gnu/libcrypto.so.3').subarray(0, 3 << 20);
  for (let i = 1; i < 8; i++) fs.writeFileSync(path.join(inbox, `report ${i}.img`), Buffer.concat([Buffer.from(`report ${i}\n`), bulk]));
  fs.writeFileSync(path.join(dir, 'secret.txt'), 'kept from scanners');
  execFileSync('zip', ['-qjP', 'secret', path.join(inbox, 'payslip.zip'), path.join(dir, 'secret.txt')]);
  return inbox;
}

let browser;
try {
  const inbox = collect(stack.dir);
  await stack.start();
  const worker = stack.worker('clamav,yara,type,hashes');
  for (const engine of ['clamav', 'yara']) fs.writeFileSync(path.join(stack.dir, 'signatures', engine, 'ORIGIN'), 'site\n');
  await worker.start();
  await stack.offered('clamav', 'yara', 'type', 'hashes');
  browser = await openBrowser();
  const tab = await Tab.open(await browser.newContext({ viewport: { width: 1280, height: 720 }, colorScheme: 'dark' }));
  await tab.page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
  await tab.page.goto(await stack.address());
  await tab.page.getByText('Nothing has been submitted yet').waitFor();
  const reports = fs.readdirSync(inbox).filter((name) => name.startsWith('report'));
  const others = fs.readdirSync(inbox).filter((name) => !name.startsWith('report'));
  for (const [i, name] of others.entries()) {
    await tab.drop(path.join(inbox, name));
    await waitFor(name, 30, async () => (await tab.page.locator('tr[data-id]').count()) > i);
  }
  await waitFor('verdicts', 60, async () => (await tab.page.locator('.submissions .tone-busy').count()) === 0);
  await tab.page.mouse.move(0, 0);
  await tab.drop(...reports.map((name) => path.join(inbox, name)));
  // Scans are over in a moment: asked as often as the browser answers.
  const busy = () => tab.page.evaluate(() => document.querySelectorAll('.submissions .tone-busy').length);
  const end = Date.now() + 30_000;
  while (![2, 3, 4].includes(await busy()) && Date.now() < end);
  await tab.page.screenshot({ path: out });
} finally {
  await browser?.close();
  await stack.close();
}
