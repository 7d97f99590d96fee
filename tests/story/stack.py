"""A whole Phagescan for a story: private PostgreSQL, broker, master and worker from a build tree, in a temporary directory,
each to be killed, stopped and started again by the test. Nothing is left behind."""

import contextlib
import http.client
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

BUILD = pathlib.Path(os.environ["PHAGESCAN_TEST_BUILD"])
SOURCE = pathlib.Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("PHAGESCAN_TEST_LONG"))
POLL_S = 0.05


def eicar():
    """In two halves, so that no scanner takes this file for it."""
    return b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD" + b"-ANTIVIRUS-TEST-FILE!$H+H*"


def until(condition, seconds=60, what="a condition"):
    """Polls a condition until it gives something true, which is returned; fails at the deadline."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        threading.Event().wait(POLL_S)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line]


class Postgres:
    """A cluster of its own, on a UNIX socket, under an unprivileged account when we are root."""

    def __init__(self, directory):
        self.dir = directory
        self.dir.mkdir()
        self.data = self.dir / "data"
        self.prefix = []
        if os.getuid() == 0:
            account = pwd.getpwnam("nobody")
            os.chown(self.dir, account.pw_uid, account.pw_gid)
            self.prefix = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        subprocess.run([*self.prefix, self.bin / "initdb", "-D", self.data, "-U", "phagescan", "-A", "trust", "-N",
                        "--locale=C.UTF-8", "--encoding=UTF8"], check=True, stdout=subprocess.DEVNULL, cwd="/")
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses=''\nunix_socket_directories='{self.dir}'\nshared_buffers=64MB\nmax_connections=40\n")
        self.process = None
        self.start()
        self.sql("create database phagescan", "postgres")

    @property
    def conninfo(self):
        return f"host={self.dir} user=phagescan dbname=phagescan"

    def start(self):
        self.process = subprocess.Popen([*self.prefix, self.bin / "postgres", "-D", self.data], cwd="/",
                                        stdout=subprocess.DEVNULL, stderr=open(self.dir.parent / "postgres.log", "ab"))
        until(lambda: subprocess.run(["pg_isready", "-q", "-h", self.dir, "-U", "phagescan", "-d", "postgres"]).returncode == 0,
              what="PostgreSQL")

    def stop(self, how=signal.SIGINT):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)

    def sql(self, text, database="phagescan"):
        done = subprocess.run(["psql", "-h", self.dir, "-U", "phagescan", "-d", database, "-qAtX", "-v", "ON_ERROR_STOP=1",
                               "-F", "\t", "-c", text], text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]


class Stack:
    """with Stack() as s: s.start("worker"), s.kill("broker"), s.api("GET", ...), s.submit(...)"""

    PROGRAMS = {"broker": "broker/daemon/phagescan-broker", "master": "master/phagescan-master",
                "worker": "worker/phagescan-worker", "cli": "cli/phagescan"}

    def __init__(self, engines=None, signatures=None, slots=2, options=None, start=("broker", "master", "worker"),
                 engines_of=None, within=None):
        self.options = options or {}
        self.engines_of = engines_of or {}  # of workers that differ, by name: worker, worker2
        self.within = within or {}  # by name: a command that runs the program in another place and becomes it
        self.engines, self.signatures, self.slots, self.to_start = engines, signatures, slots, start
        self.processes = {}

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="phagescan-story."))
        self.dir.chmod(0o755)
        self.state = self.dir / "state"
        (self.state / "run").mkdir(parents=True)
        (self.state / "run").chmod(0o700)
        self.env = dict(os.environ, PHAGESCAN_STATE=str(self.state), PHAGESCAN_LIB=str(BUILD))
        try:
            self.postgres = Postgres(self.dir / "pg")
            for name in self.to_start:
                self.start(name)
            if "worker" in self.to_start and "master" in self.to_start:
                self.wait_engines(self.engines or ["clamav", "yara", "type", "hashes"])
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            self.show_logs()
        with contextlib.ExitStack() as ends:  # all of them, also when one ends badly; the last entered goes first
            ends.callback(self.clear)
            for name in ("broker", "broker2", "master", "master2", "worker", "worker2", "worker3"):
                ends.callback(self.stop, name)

    def clear(self):
        with contextlib.suppress(AttributeError):
            self.postgres.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def show_logs(self):
        for log in sorted(self.dir.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-30:]
            sys.stderr.write(f"--- {log.name}\n" + "\n".join(lines) + "\n")

    def broker_sock(self, name):
        return str(self.state / "run" / f"{name}.sock")

    def command(self, name):
        program = [str(BUILD / self.PROGRAMS[name.rstrip("23")])]
        if name.startswith("master"):
            sock = self.state / "run" / ("api.sock" if name == "master" else "api2.sock")
            program += ["--database", self.postgres.conninfo, "--port", "0", "--api-sock", str(sock)]
            if name == "master2":
                program += ["--standby"]
            if "broker2" in self.to_start and "--broker" not in self.options.get(name, []):
                program += ["--broker", self.broker_sock("broker"), "--broker", self.broker_sock("broker2")]
        if name == "broker2":
            program += ["--listen", self.broker_sock(name)]
        if name == "worker2" and "broker2" in self.to_start and "--broker" not in self.options.get(name, []):
            program += ["--broker", self.broker_sock("broker2")]
        if name.startswith("worker"):
            program += ["--engine-dir", str(BUILD / "engines"), "--enginehost", str(BUILD / "worker/host/phagescan-enginehost"),
                        "--slots", str(self.slots), "--tmp-dir", str(self.dir / "tmp"), "--account-services", "none",
                        "--account-engines", "none"]
            engines = self.engines_of.get(name, self.engines)
            if engines:
                program += ["--engines", ",".join(engines)]
            if self.signatures:
                program += ["--signatures", str(self.signatures)]
        return self.within.get(name, []) + program + self.options.get(name, [])

    def start(self, name, wait=True):
        ready_r, ready_w = os.pipe()
        (self.dir / "tmp").mkdir(exist_ok=True)
        log = open(self.dir / f"{name}.log", "ab")
        process = subprocess.Popen([*self.command(name), "--ready-fd", str(ready_w)], env=self.env, pass_fds=[ready_w],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        os.close(ready_w)
        log.close()
        self.processes[name] = process
        if wait:
            readable, _, _ = select.select([ready_r], [], [], 120)
            said = os.read(ready_r, 64) if readable else b""
            assert said.startswith(b"ready"), f"{name} is not ready: {said!r}"
        os.close(ready_r)
        return process

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def kill(self, name):
        """kill -9"""
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self, name, seconds=30):
        """As an operator does. Sanitizers speak at the end: a bad exit status fails the story."""
        process = self.processes.pop(name, None)
        if not process or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not end on SIGTERM") from None
        assert process.returncode == 0, f"{name} ended with {process.returncode}"

    def children(self, name):
        """Process ids of all below a program."""
        parents = {}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                text = stat.read_text()
                parents.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(stat.parent.name))
        rest, found = [self.processes[name].pid], []
        while rest:
            below = parents.get(rest.pop(), [])
            found += below
            rest += below
        return found

    # ---- as clients see it ----

    def api(self, method, path, body=None, headers=None, timeout=60, sock="api.sock"):
        connection = UnixConnection(str(self.state / "run" / sock), timeout)
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        try:
            connection.request(method, path if path.startswith(("/healthz", "/metrics")) else "/api/v1" + path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def try_api(self, method, path, **kwargs):
        """None while nobody answers."""
        try:
            return self.api(method, path, **kwargs)
        except (OSError, http.client.HTTPException):
            return None

    def wait_engines(self, names, seconds=120):
        """They are there, and may be asked for."""
        def there():
            answer = self.try_api("GET", "/engines")
            return (answer and answer.status == 200
                    and set(names) <= {e["name"] for e in answer.json["items"] if e["available"]})
        until(there, seconds, f"engines {names}")

    def cli(self, *args, **kwargs):
        return subprocess.run([str(BUILD / self.PROGRAMS["cli"]), *map(str, args)], env=self.env, text=True,
                              capture_output=True, **kwargs)

    def cli_start(self, *args):
        """Runs in the background; what it prints goes to files (a full pipe would stop it): see cli_end."""
        number = sum(1 for _ in self.dir.glob("cli-*.out"))
        out, err = (self.dir / f"cli-{number}.{kind}" for kind in ("out", "err"))
        process = subprocess.Popen([str(BUILD / self.PROGRAMS["cli"]), *map(str, args)], env=self.env, stdin=subprocess.DEVNULL,
                                   stdout=open(out, "wb"), stderr=open(err, "wb"))
        process.out, process.err = out, err
        return process

    @staticmethod
    def cli_end(process, seconds=300):
        """Waits for one that was started: (exit status, standard output, standard error)."""
        process.wait(seconds)
        return process.returncode, process.out.read_text(errors="replace"), process.err.read_text(errors="replace")

    def oneshot(self, data, name="sample", seconds=60, **params):
        """Submits bytes and waits for the verdict: the sample's report."""
        query = "&".join(f"{k}={v}" for k, v in {"name": name, **params}.items())
        answer = self.api("POST", f"/submissions?{query}", data)
        assert answer.status == 201, (answer.status, answer.body)
        return self.report(answer.json["sha256"], answer.json["scan"], seconds)

    def report(self, sha256, scan, seconds=60):
        def done():
            answer = self.try_api("GET", f"/samples/{sha256}")
            report = answer.json if answer and answer.status == 200 else None
            return report if report and report["scan"]["id"] >= scan and report["scan"]["status"] == "done" else None
        return until(done, seconds, f"the verdict of {sha256}")


def outcomes(report):
    return {r["engine"]: r["outcome"] for r in report["results"]}


def run(*stories):
    """Runs each story and prints a line for each; the plain closing line counts them."""
    passed = failed = 0
    for story in stories:
        at = time.monotonic()
        try:
            story()
            passed += 1
            print(f"ok   {story.__name__} ({time.monotonic() - at:.1f} s)", flush=True)
        except Exception as error:  # a story that fails does not hide the next one
            failed += 1
            import traceback
            traceback.print_exc()
            print(f"FAIL {story.__name__}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
