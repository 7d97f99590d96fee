"""What the stories of bad days share: stories that use one stack one after the other, bodies of the batch road, requests
that are cut off, and questions to the database."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import struct
import sys
import threading

from stack import Stack, run, until


class Ground:
    """Stories that stand on one stack: the first one builds it, a last one of its own takes it down. A story that fails
    shows the logs; the next one finds the stack as it was left."""

    def __init__(self, **options):
        self.options = options
        self.attributes = {}  # of the stack, for its stories
        self.stack = None

    def story(self, told):
        def told_here():
            if not self.stack:
                self.stack = Stack(**self.options).__enter__()
                vars(self.stack).update(self.attributes)
            try:
                told(self.stack)
            except BaseException:
                self.stack.show_logs()
                raise
        told_here.__name__ = told.__name__
        return told_here

    def leave(self):
        stack, self.stack = self.stack, None
        if stack:
            stack.__exit__(None, None, None)

    def stories(self, *told):
        def all_ends_well():
            self.leave()
        return [self.story(one) for one in told] + [all_ends_well]


def tell(*stories):
    """As run does; names on the command line choose among them."""
    chosen = [s for s in stories if len(sys.argv) < 2 or s.__name__ in (*sys.argv[1:], "all_ends_well")]
    run(*chosen)


# ---- the batch road ----

def part(n, data, name="file", **more):
    header = json.dumps({"n": n, "name": name, "size": len(data), **more}).encode()
    return struct.pack(">I", len(header)) + header + data


def batch(stack, body, key=None, **kwargs):
    return stack.api("POST", "/batch", body, {"Idempotency-Key": key} if key else {}, **kwargs)


# ---- requests as raw bytes ----

@contextlib.contextmanager
def raw_request(stack, method, path, headers, body=b"", sock="api.sock"):
    """A request whose end the caller decides: the socket, after the head and body have been sent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(30)
        s.connect(str(stack.state / "run" / sock))
        head = f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n"
        head += "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        s.sendall(head.encode() + body)
        yield s


def read_answer(s):
    """Status and JSON of an answer, read until the server ends it."""
    reply = b""
    while b"\r\n\r\n" not in reply:
        more = s.recv(65536)
        assert more, f"the connection ended after {reply!r}"
        reply += more
    head, body = reply.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        more = s.recv(65536)
        assert more, "the answer is cut"
        body += more
    return int(head.split()[1]), json.loads(body)


# ---- what must hold ----

def count(stack, what, where="true"):
    return int(stack.postgres.sql(f"select count(*) from {what} where {where}")[0][0])


def problem(answer, status, *words, code=None):
    """An answer that refuses, in words that a person can use."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["content-type"] == "application/problem+json", answer.headers.as_string()
    told = answer.json
    assert told["status"] == status and told["title"], told
    for word in words:
        assert word in told["detail"], (word, told)
    assert not code or told["code"] == code, told
    return told


def all_done(stack, seconds=120):
    """Every scan has its verdict, every job one final result."""
    until(lambda: count(stack, "scan", "finished_at is null") == 0, seconds, "all verdicts")
    left = count(stack, "job", "final is null or outcome is null")
    assert left == 0, f"{left} jobs without a result in finished scans"


def metric(stack, name):
    """A number of /metrics; with labels in the name too."""
    for line in stack.api("GET", "/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return int(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric {name}")


@contextlib.contextmanager
def stopped(pid):
    """A process that stands still (SIGSTOP) until the end of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Licence(threading.Thread):
    """Counts the runs of crashy's `slow` that live at the same time: each bears a name of its own in /proc while it runs. A
    stopped run counts as well: it goes on later."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack, self.most, self.looks, self.seen = stack, 0, 0, set()
        self.ending = threading.Event()

    @staticmethod
    def runs(pid):
        with contextlib.suppress(OSError):
            return pathlib.Path(f"/proc/{pid}/comm").read_text() == "crashy-slow\n"
        return False

    def look(self, workers=("worker", "worker2", "worker3")):
        """The process ids of the runs at these workers, that all lived between two looks at each: what ends while we look
        is not taken for the company of what begins."""
        here = [name for name in workers if name in self.stack.processes]
        first = [pid for name in here for pid in self.stack.children(name) if self.runs(pid)]
        return {pid for pid in first if self.runs(pid)}

    def run(self):
        while not self.ending.wait(0.05):
            runs = self.look()
            self.most = max(self.most, len(runs))
            self.seen |= runs
            self.looks += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join(30)


def at_once(n, do):
    """do(i) in n threads that begin together; what they returned, in order. What one raised is raised."""
    gate, results = threading.Barrier(n), [None] * n

    def one(i):
        gate.wait()
        try:
            results[i] = do(i)
        except Exception as error:
            results[i] = error
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results
