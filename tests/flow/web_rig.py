"""What the tests of master/web share: a private PostgreSQL, real programs from the build tree, a small HTTP client.

Everything lives in a directory of its own; programs are ended by their pid. PHAGESCAN_TEST_BUILD is the build tree."""

import atexit
import http.client
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("PHAGESCAN_TEST_BUILD", "build"))


def wait_for(what, seconds, ask):
    """Polls a condition with a deadline; returns what it gave."""
    end = time.monotonic() + seconds
    while True:
        got = ask()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        select.select([], [], [], 0.02)


class Scratch:
    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="psw."))
        self.path.chmod(0o755)

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)


def server_user():
    if os.geteuid() != 0:
        return None
    for name in filter(None, (os.environ.get("PHAGESCAN_TEST_USER"), "postgres", "nobody")):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("no unprivileged user to run PostgreSQL")


def server_program(name):
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else name


class Postgres:
    """A cluster of its own, UNIX socket only, without fsync. initdb runs once a process; the others are copies."""

    template = None

    def __init__(self, scratch):
        user = server_user()
        self.dir = scratch.path / "pg"
        self.dir.mkdir()
        self.log = open(scratch.path / "pg.log", "wb")
        self.drop = []
        if user:
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self.conninfo = f"host={self.dir} dbname=phagescan user=phagescan"
        if not Postgres.template:
            Postgres.template = Scratch()
            atexit.register(Postgres.template.close)
            if user:
                os.chown(Postgres.template.path, user.pw_uid, user.pw_gid)
            subprocess.run(self.drop + [server_program("initdb"), "-D", str(Postgres.template.path / "data"), "-U", "phagescan",
                                        "-A", "trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"],
                           cwd="/", check=True, stdout=self.log, stderr=self.log)
        subprocess.run(["cp", "-a", str(Postgres.template.path / "data"), str(self.dir / "data")], check=True)
        self.start()
        self.sql("create database phagescan", database="postgres")

    def start(self):
        self.process = subprocess.Popen(
            self.drop + [server_program("postgres"), "-D", str(self.dir / "data"), "-k", str(self.dir), "-c",
                         "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50", "-c", "shared_buffers=32MB"],
            cwd="/", stdout=self.log, stderr=self.log)
        wait_for("PostgreSQL", 60, lambda: self.psql("select 1", "postgres").returncode == 0)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)

    def psql(self, text, database="phagescan"):
        return subprocess.run(["psql", "-h", str(self.dir), "-U", "phagescan", "-d", database, "-qAtX", "-v",
                               "ON_ERROR_STOP=1", "-c", text], capture_output=True, text=True)

    def sql(self, text, database="phagescan"):
        done = self.psql(text, database)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return done.stdout.strip()

    def close(self):
        self.stop()
        self.log.close()


class Program:
    """A daemon of ours; ready when it writes to its --ready-fd."""

    def __init__(self, scratch, path, *args, name=None):
        self.name = name or pathlib.Path(path).name
        self.log = scratch.path / f"{self.name}.log"
        self.env = dict(os.environ, PHAGESCAN_STATE=str(scratch.path / "state"))
        self.argv = [str(BUILD / path), *map(str, args)]
        self.process = None

    def start(self, ready=True, seconds=60):
        read, write = os.pipe()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.argv, "--ready-fd", str(write)], env=self.env, stdout=log, stderr=log,
                                            pass_fds=[write])
        os.close(write)
        self.ready_fd = read
        if ready:
            self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=60):
        got = select.select([self.ready_fd], [], [], seconds)[0]
        line = os.read(self.ready_fd, 16) if got else b""
        os.close(self.ready_fd)
        if line != b"ready\n":
            raise AssertionError(f"{self.name} did not become ready: {self.log.read_text(errors='replace')[-3000:]}")

    def logged(self, event):
        return [line for line in self.log.read_text(errors="replace").splitlines() if f"event={event}" in line]

    def kill(self, sig=signal.SIGKILL):
        self.process.send_signal(sig)
        self.process.wait(60)

    def stop(self):
        """An orderly end, which must succeed."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise AssertionError(f"{self.name} did not stop: {self.log.read_text(errors='replace')[-3000:]}")
        if self.process and self.process.returncode != 0:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: "
                                 f"{self.log.read_text(errors='replace')[-6000:]}")

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines()]

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """One connection, opened anew when it is gone."""

    def __init__(self, make, headers=None):
        self.make = make
        self.headers = headers or {}
        self.connection = None

    def call(self, method, path, body=None, headers=None, **more):
        for attempt in (0, 1):
            if not self.connection:
                self.connection = self.make()
            try:
                self.connection.request(method, path, body=body, headers={**self.headers, **(headers or {})})
                response = self.connection.getresponse()
                answer = Answer(response, response.read())
                if response.will_close:
                    self.close()
                return answer
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()
                if attempt:
                    raise

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=b"", **more):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        return self.call("POST", path, body=body, **more)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def __del__(self):
        self.close()


def batch_body(files, tail=b""):
    """files: (header, bytes); n and size are filled in."""
    body = b""
    for n, (header, data) in enumerate(files):
        text = json.dumps({"n": n, "name": f"f{n}", "size": len(data), **header}).encode()
        body += struct.pack(">I", len(text)) + text + data
    return body + tail


class Stack:
    """PostgreSQL and a master; broker and worker when they are asked for."""

    def __init__(self, *master_args, broker=False, worker_args=None, start=True):
        self.scratch = Scratch()
        self.parts = []
        try:
            self.pg = Postgres(self.scratch)
            self.parts.append(self.pg)
            run = self.scratch.path / "state" / "run"
            run.mkdir(parents=True)
            run.chmod(0o700)
            self.broker = self.worker = None
            if broker:
                self.broker = Program(self.scratch, "broker/daemon/phagescan-broker")
                self.parts.append(self.broker)
                self.broker.start()
            www = self.scratch.path / "www"
            (www / "assets").mkdir(parents=True)
            (www / "index.html").write_text("<!doctype html><title>page</title>" + " " * 2000)
            (www / "assets" / "app-1a2b.js").write_text("// script\n" * 500)
            self.sock = run / "api.sock"
            self.master = Program(self.scratch, "master/phagescan-master", "--port", "0", "--database", self.pg.conninfo,
                                  "--www", www, *master_args)
            self.parts.append(self.master)
            if start:
                self.master.start()
                self.api = self.local()
            if worker_args is not None:
                self.worker = Program(self.scratch, "worker/phagescan-worker", "--account-services", "none", *worker_args)
                self.parts.append(self.worker)
                self.worker.start()
        except BaseException:
            self.close()
            raise

    def local(self, sock=None):
        return Client(lambda: UnixConnection(sock or self.sock))

    @property
    def port(self):
        return int(self.master.logged("listening")[-1].split("port=")[1].split()[0])

    def tcp(self, **headers):
        return Client(lambda: http.client.HTTPConnection("127.0.0.1", self.port, timeout=60),
                      {name.replace("_", "-"): value for name, value in headers.items()})

    def signed_in(self):
        """A browser with a session."""
        url = self.local().post("/api/v1/tokens").json["url"]
        answer = self.tcp().get(url[url.index("/enter"):])
        assert answer.status == 303, answer
        return self.tcp(Cookie=answer.headers["set-cookie"].split(";")[0], Origin=f"http://127.0.0.1:{self.port}")

    def close(self):
        for part in reversed(self.parts):
            part.close()
        self.scratch.close()
