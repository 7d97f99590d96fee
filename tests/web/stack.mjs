// The real thing, small: a private PostgreSQL, broker, master and worker from a build tree, in a directory of their own.
// Programs are ended by their process id; ports are whatever is free.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

/** A small limit, so that a file over it is quickly made. */
export const SAMPLE_MAX = 64 << 20;

/** Polls a condition with a deadline; returns what it gave. */
export async function waitFor(what, seconds, ask) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const got = await ask();
    if (got) return got;
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain for ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}

class Program {
  constructor(dir, name, command, args, { drop = [], env = {}, readyFd = true } = {}) {
    Object.assign(this, { name, command, args, drop, env, readyFd, log: path.join(dir, `${name}.log`), child: null });
  }

  /** Starts it; resolves when it says that it is ready. */
  async start(more = []) {
    const log = fs.openSync(this.log, 'a');
    const args = [...this.args, ...more, ...(this.readyFd ? ['--ready-fd', '3'] : [])];
    const [command, ...rest] = [...this.drop, this.command, ...args];
    const stdio = ['ignore', log, log, ...(this.readyFd ? ['pipe'] : [])];
    this.child = spawn(command, rest, { cwd: '/', stdio, env: { ...process.env, ...this.env } });
    this.ended = new Promise((done) => this.child.once('exit', done));
    fs.closeSync(log);
    if (!this.readyFd) return this;
    const line = await new Promise((done) => {
      const timer = setTimeout(() => done('nothing within 60 s'), 60_000);
      const say = (text) => {
        clearTimeout(timer);
        done(text);
      };
      this.child.stdio[3].once('data', (data) => say(String(data)));
      this.child.once('exit', (code) => say(`its end with ${code}`));
      this.child.once('error', (error) => say(String(error)));
    });
    if (!line.startsWith('ready')) throw new Error(`${this.name} was to be ready, and gave ${line}:\n${this.tail()}`);
    return this;
  }

  tail(bytes = 3000) {
    return fs.readFileSync(this.log, 'utf8').slice(-bytes);
  }

  /** The latest value of a field in its log. */
  logged(event, field) {
    const lines = fs.readFileSync(this.log, 'utf8').split('\n').filter((line) => line.includes(`event=${event}`));
    return new RegExp(`${field}=(\\S+)`).exec(lines[lines.length - 1] ?? '')?.[1];
  }

  async end(signal) {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 20_000);
    await this.ended;
    clearTimeout(timer);
  }
}

function postgresUser() {
  if (process.geteuid() !== 0) return null;
  for (const name of [process.env.PHAGESCAN_TEST_USER, 'postgres', 'nobody'].filter(Boolean)) {
    const line = fs.readFileSync('/etc/passwd', 'utf8').split('\n').find((one) => one.startsWith(`${name}:`));
    if (line) return { uid: Number(line.split(':')[2]), gid: Number(line.split(':')[3]) };
  }
  throw new Error('no unprivileged user to run PostgreSQL');
}

function postgresProgram(name) {
  const root = '/usr/lib/postgresql';
  const versions = fs.existsSync(root) ? fs.readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.length ? path.join(root, versions[0], 'bin', name) : name;
}

export class Stack {
  constructor(build, source) {
    this.build = build;
    this.source = source;
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'psb.'));
    fs.chmodSync(this.dir, 0o755);
    this.parts = [];
  }

  program(name, file, args) {
    const program = new Program(this.dir, name, path.join(this.build, file), args, {
      env: { PHAGESCAN_STATE: path.join(this.dir, 'state') },
    });
    this.parts.push(program);
    return program;
  }

  async startPostgres() {
    const user = postgresUser();
    const drop = user ? ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'] : [];
    const dir = path.join(this.dir, 'pg');
    const run = (command, ...args) => {
      const [first, ...rest] = [...drop, command, ...args];
      return execFileSync(first, rest, { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
    };
    fs.mkdirSync(dir);
    if (user) fs.chownSync(dir, user.uid, user.gid);
    run(postgresProgram('initdb'), '-D', path.join(dir, 'data'), '-U', 'phagescan', '-A', 'trust', '--no-sync',
      '--encoding=UTF8', '--locale=C.UTF-8');
    const server = new Program(this.dir, 'postgres', postgresProgram('postgres'), ['-D', path.join(dir, 'data'), '-k', dir,
      '-c', 'listen_addresses=', '-c', 'fsync=off', '-c', 'shared_buffers=32MB'], { drop, readyFd: false });
    this.parts.push(server);
    await server.start();
    const psql = (database, sql) => run('psql', '-h', dir, '-U', 'phagescan', '-d', database, '-qAtXc', sql);
    await waitFor('PostgreSQL', 60, () => {
      try {
        return psql('postgres', 'select 1');
      } catch {
        return null;
      }
    });
    psql('postgres', 'create database phagescan');
    this.database = `host=${dir} dbname=phagescan user=phagescan`;
  }

  /** The bundled test signatures, and a worker that offers these engines (all without a list). */
  worker(engines) {
    const signatures = path.join(this.dir, 'signatures');
    if (!fs.existsSync(signatures))
      for (const engine of ['clamav', 'yara'])
        fs.cpSync(path.join(this.source, 'engines', engine, 'signatures'), path.join(signatures, engine), { recursive: true });
    return this.program(`worker-${this.parts.length}`, 'worker/phagescan-worker', ['--account-services', 'none', '--slots', '2',
      '--engine-dir', path.join(this.build, 'engines'), '--enginehost', path.join(this.build, 'worker/host/phagescan-enginehost'),
      '--signatures', signatures, '--engines', engines]);
  }

  async start() {
    await this.startPostgres();
    const run = path.join(this.dir, 'state/run');
    fs.mkdirSync(run, { recursive: true });
    fs.chmodSync(run, 0o700);
    this.sock = path.join(run, 'api.sock');
    this.broker = await this.program('broker', 'broker/daemon/phagescan-broker', ['--engine-grace', '2s']).start();
    this.master = this.program('master', 'master/phagescan-master', ['--database', this.database, '--www',
      path.join(this.build, 'www/www'), '--max-sample-bytes', String(SAMPLE_MAX)]);
    await this.master.start(['--port', '0']);
    this.port = Number(this.master.logged('listening', 'port'));
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** The API over the UNIX socket. */
  api(method, target) {
    return new Promise((done, fail) => {
      const request = http.request({ socketPath: this.sock, method, path: `/api/v1${target}` }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (some) => (text += some));
        response.on('end', () => (response.statusCode < 300 ? done(JSON.parse(text)) : fail(new Error(`${response.statusCode} ${text}`))));
      });
      request.on('error', fail);
      request.end();
    });
  }

  /** A fresh one-time address. */
  async address() {
    return (await this.api('POST', '/tokens')).url;
  }

  async offered(...engines) {
    await waitFor(`the engines ${engines}`, 60, async () => {
      const { items } = await this.api('GET', '/engines');
      return engines.every((name) => items.some((one) => one.name === name && one.available));
    });
  }

  /** What the programs said last, for a test that failed. */
  tails() {
    return this.parts.map((part) => `--- ${part.name}\n${fs.existsSync(part.log) ? part.tail(2000) : ''}`).join('\n');
  }

  async close() {
    for (const part of this.parts.reverse()) await part.end(part.name === 'postgres' ? 'SIGQUIT' : 'SIGTERM');
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
