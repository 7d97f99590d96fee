// A browser that notices what must not happen: console errors, dialogs, violations of the content security policy,
// loading the page again.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { chromium } from 'playwright-core';

const AXE = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-dev-shm-usage'];

export async function openBrowser() {
  const executablePath = process.env.PHAGESCAN_CHROMIUM ?? '/usr/bin/chromium';
  if (!fs.existsSync(executablePath)) throw new Error(`${executablePath} is missing: apt-get install chromium`);
  return chromium.launch({ executablePath, args: FLAGS });
}

export class Tab {
  /** allowed: console errors that belong to the story (a server that was killed). */
  static async open(context, { allowed = [] } = {}) {
    const tab = new Tab();
    tab.page = await context.newPage();
    tab.complaints = [];
    tab.allowed = allowed;
    tab.page.setDefaultTimeout(30_000);
    await tab.page.emulateMedia({ reducedMotion: 'reduce' });
    tab.page.on('pageerror', (error) => tab.complain(`exception: ${error.stack ?? error}`));
    tab.page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') tab.complain(`console: ${message.text()}`);
    });
    tab.page.on('dialog', (dialog) => {
      if (dialog.type() !== 'beforeunload') tab.complain(`dialog: ${dialog.message()}`);
      void dialog.dismiss().catch(() => {});
    });
    await tab.page.exposeFunction('reportViolation', (text) => tab.complain(`policy: ${text}`));
    await tab.page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) =>
        window.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
    });
    return tab;
  }

  complain(text) {
    if (!this.allowed.some((pattern) => pattern.test(text))) this.complaints.push(text);
  }

  /** Whoever loads the page again loses the mark. */
  async mark() {
    await this.page.evaluate(() => (window.unreloaded = true));
  }

  async check() {
    if (!(await this.page.evaluate(() => window.unreloaded === true))) this.complaints.push('the page was loaded again');
    if (this.complaints.length) throw new Error(`the browser complained:\n${this.complaints.join('\n')}`);
  }

  /** Drops real files and folders, as a file manager would. */
  async drop(...files) {
    const session = await this.page.context().newCDPSession(this.page);
    const data = { items: [], files, dragOperationsMask: 1 };
    const { width, height } = this.page.viewportSize();
    for (const type of ['dragEnter', 'dragOver', 'drop'])
      await session.send('Input.dispatchDragEvent', { type, x: width >> 1, y: height >> 1, data });
    await session.detach();
  }

  /** The row of the list whose name contains text. */
  row(text) {
    return this.page.locator('table.submissions tbody tr', { hasText: text }).first();
  }

  async rowSays(text, words, timeout = 60_000) {
    await this.row(text).locator('.badge', { hasText: words }).waitFor({ timeout });
  }

  /** The list's row under the middle of its window, once it is drawn there: its id and where it stands. */
  async rowInView() {
    const row = await this.page.waitForFunction(() => {
      const { left, top, width } = document.querySelector('.scroller').getBoundingClientRect();
      const found = document.elementFromPoint(left + width / 2, top + 200)?.closest('tr[data-id]');
      return found && { id: found.dataset.id, top: Math.round(found.getBoundingClientRect().top) };
    });
    return row.jsonValue();
  }

  /** Pictures in light and dark, in which everybody must be able to read and reach everything (axe-core; it takes
   *  seconds, so that pages with nothing of their own are looked at in one theme). */
  async shot(dir, name, themes = ['light', 'dark']) {
    fs.mkdirSync(dir, { recursive: true });
    for (const colorScheme of ['light', 'dark']) {
      await this.page.emulateMedia({ colorScheme });
      await this.page.screenshot({ path: path.join(dir, `${name}-${colorScheme}.png`) });
      if (!themes.includes(colorScheme)) continue;
      for (const { id, nodes } of await this.inaccessible())
        this.complain(`axe, ${name} ${colorScheme}: ${id}: ${nodes[0].html} ${nodes[0].failureSummary}`);
    }
  }

  async inaccessible() {
    await this.page.evaluate(AXE);
    return (await this.page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa'] }))).violations;
  }
}
