#!/usr/bin/env python3
"""Events and bad days: streams that go on after a restart, clients that are too slow, the database away, the disk full,
a standby. Real broker and worker, with the engine that does nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

from web_rig import BUILD, Program, Stack, UnixConnection, batch_body, wait_for

MIB = 1 << 20
WORKER = ["--engine-dir", BUILD / "engines", "--enginehost", BUILD / "worker/host/phagescan-enginehost", "--engines", "noop,type"]


class Sse:
    """An event stream, read by a thread into a list of (id, event, data)."""

    def __init__(self, stack, query="", headers=None):
        self.connection = UnixConnection(stack.sock, timeout=120)
        self.connection.request("GET", "/api/v1/events" + query, headers={"Accept": "text/event-stream", **(headers or {})})
        self.response = self.connection.getresponse()
        self.events, self.comments, self.last_id, self.ended = [], 0, None, False
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        event = {}
        try:
            for line in self.response:
                line = line.decode().rstrip("\n")
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                else:
                    self.last_id = event.get("id", self.last_id)
                    if "data" in event:
                        self.events.append((event.get("id"), event["event"], json.loads(event["data"])))
                    event = {}
        except Exception:  # http.client has many ways to say that the other end has gone
            pass
        self.ended = True

    def of(self, kind):
        return [data for _, event, data in list(self.events) if event == kind]

    def scans(self):
        return [e["scan"]["id"] for e in self.of("scan")]

    def close(self):
        if self.connection.sock:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        self.thread.join(30)


def submit(api, batch, files):
    answer = api.post("/api/v1/batch", batch_body([({"batch": batch, "engines": ["noop"]}, data) for data in files]))
    assert answer.status == 200, answer
    return [line["scan"] for line in answer.lines]


class Timed(unittest.TestCase):
    def run(self, result=None):
        began = time.monotonic()
        super().run(result)
        print(f"{time.monotonic() - began:.1f} s", file=sys.stderr)


class Events(Timed):
    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(broker=True, worker_args=WORKER)
        wait_for("noop", 60, lambda: any(e["name"] == "noop" and e["available"]
                                         for e in cls.stack.api.get("/api/v1/engines").json["items"]))

    @classmethod
    def tearDownClass(cls):
        try:
            for part in (cls.stack.worker, cls.stack.master, cls.stack.broker):
                part.stop()
        finally:
            cls.stack.close()

    def setUp(self):
        self.api = self.stack.local()

    def follow(self, batch, n, after=0, seconds=60):
        """NDJSON, call after call."""
        lines, end = [], time.monotonic() + seconds
        while len(lines) < n and time.monotonic() < end:
            answer = self.api.get(f"/api/v1/events?batch={batch}&after={after}&wait_ms=5000")
            self.assertEqual(answer.status, 200, answer)
            after = int(answer.headers["phagescan-seq"])
            lines += answer.lines
        return lines

    def test_long_poll_gives_every_scan_once_in_order(self):
        scans = submit(self.api, "poll", [b"poll %d" % i for i in range(300)])
        lines = self.follow("poll", 300)
        self.assertEqual(sorted(e["scan"]["id"] for e in lines), sorted(scans))
        self.assertEqual([e["seq"] for e in lines], sorted(e["seq"] for e in lines))
        self.assertTrue(all(e["submissions"][0]["batch"] == "poll" and len(e["sha256"]) == 64 for e in lines))

    def test_long_poll_waits_and_says_where_to_go_on(self):
        began = time.monotonic()
        answer = self.api.get("/api/v1/events?wait_ms=300")
        self.assertGreater(time.monotonic() - began, 0.25)
        self.assertEqual((answer.status, answer.body), (200, b""))
        seq = int(answer.headers["phagescan-seq"])
        self.assertEqual(seq, int(self.stack.pg.sql("select coalesce(max(finished_seq), 0) from scan")))
        submit(self.api, "later", [b"later 1", b"later 2"])
        self.assertEqual(len(self.follow("later", 2, seq)), 2)
        answer = self.api.get(f"/api/v1/events?after={seq}&limit=1&wait_ms=0")
        self.assertEqual(len(answer.lines), 1)
        self.assertEqual(int(answer.headers["phagescan-seq"]), answer.lines[0]["seq"])

    def test_stream_gives_what_was_and_what_comes(self):
        seq = self.api.get("/api/v1/status").json["seq"]
        wait_for("a fresh status", 5, lambda: self.api.get("/api/v1/status").json["seq"] == int(
            self.stack.pg.sql("select coalesce(max(finished_seq), 0) from scan")))
        seq = self.api.get("/api/v1/status").json["seq"]
        before = submit(self.api, "s1", [b"s1 %d" % i for i in range(50)])
        self.follow("s1", 50, seq)
        stream = Sse(self.stack, f"?after={seq}")
        other = Sse(self.stack, f"?after={seq}&batch=s2")
        now = Sse(self.stack)
        wait_for("now", 30, lambda: now.last_id)
        after = submit(self.api, "s2", [b"s2 %d" % i for i in range(50)])
        wait_for("100 scans", 60, lambda: len(stream.scans()) == 100)
        self.assertEqual(sorted(stream.scans()), sorted(before + after))
        wait_for("50 scans", 60, lambda: len(other.scans()) == 50 and len(now.scans()) == 50)
        self.assertEqual(sorted(other.scans()), sorted(after))
        self.assertEqual(sorted(now.scans()), sorted(after))
        seqs = [e["seq"] for e in stream.of("scan")]
        self.assertEqual(seqs, sorted(set(seqs)))
        self.assertTrue(now.of("result"))
        self.assertFalse(other.of("result"))
        wait_for("submissions", 10, lambda: now.of("submission") and other.of("submission"))
        self.assertEqual(now.of("submission")[0]["submission"]["batch"], "s2")
        for s in (stream, other, now):
            s.close()

    def test_stream_with_a_worker_that_comes_and_goes(self):
        stream = Sse(self.stack)
        wait_for("now", 30, lambda: stream.last_id)
        self.stack.worker.stop()
        wait_for("fleet", 30, lambda: stream.of("fleet"))
        wait_for("no worker", 30, lambda: not self.api.get("/api/v1/workers").json["items"])
        n = len(stream.of("fleet"))
        self.stack.worker.start()
        wait_for("fleet again", 60, lambda: len(stream.of("fleet")) > n)
        wait_for("the worker", 60, lambda: self.api.get("/api/v1/workers").json["items"])
        stream.close()

    def test_stream_beats(self):
        stream = Sse(self.stack, "?batch=silent")
        wait_for("a beat", 15, lambda: stream.comments)
        stream.close()

    def test_stream_goes_on_after_a_restart_of_the_master(self):
        stream = Sse(self.stack)
        wait_for("now", 30, lambda: stream.last_id)
        first = submit(self.api, "restart", [b"restart %d" % i for i in range(20)])
        wait_for("20 scans", 60, lambda: len(stream.scans()) == 20)
        last = stream.last_id
        self.stack.master.kill()
        wait_for("the end", 30, lambda: stream.ended)
        self.stack.master.start()
        second = submit(self.api, "restart", [b"restart again %d" % i for i in range(20)])
        self.follow("restart", 40)
        again = Sse(self.stack, "", {"Last-Event-ID": last})
        wait_for("20 more", 60, lambda: len(again.scans()) == 20)
        self.assertEqual(again.events[0][1], "lagged")  # what was live meanwhile is gone
        self.assertEqual(sorted(again.scans()), sorted(second))
        self.assertFalse(set(first) & set(again.scans()))
        stream.close()
        again.close()

    def test_a_slow_client_is_told_and_misses_no_scan(self):
        seq = int(self.stack.pg.sql("select coalesce(max(finished_seq), 0) from scan"))
        # Long paths, so that the events are more than all buffers hold.
        path = "/p" * 4000
        sock = socket.socket(socket.AF_UNIX)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(str(self.stack.sock))
        sock.sendall(f"GET /api/v1/events?after={seq} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
        sock.recv(100)
        scans = []
        for part in range(4):
            files = [({"batch": "slow", "engines": ["noop"], "source_path": path}, b"slow %d %d" % (part, i)) for i in range(100)]
            answer = self.api.post("/api/v1/batch", batch_body(files))
            scans += [line["scan"] for line in answer.lines]
        self.follow("slow", 400, seq)
        wait_for("lagged", 60, lambda: self.metric("web_lagged_total") >= 1)
        got = b""
        sock.settimeout(60)
        end = time.monotonic() + 60
        while got.count(b"event: scan\n") < 400 and time.monotonic() < end:
            got += sock.recv(1 << 20)
        sock.close()
        self.assertIn(b"event: lagged\n", got)
        ids = [json.loads(line[6:])["scan"]["id"] for line in got.replace(b"\r\n", b"\n").split(b"\n")
               if line.startswith(b'data: {"event":"scan"') and line.endswith(b"}")]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertTrue(set(ids) <= set(scans))
        self.assertGreater(len(ids), 350)  # some lines are cut by chunk headers
        self.assertEqual(self.api.get("/api/v1/status").status, 200)

    def metric(self, name):
        for line in self.api.get("/metrics").body.decode().splitlines():
            if line.startswith(f"phagescan_{name} "):
                return float(line.split()[1])
        raise AssertionError(name)

    def test_streams_have_a_limit(self):
        streams = []
        try:
            for _ in range(256):
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(str(self.stack.sock))
                sock.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
                streams.append(sock)
            wait_for("streams", 30, lambda: self.metric("web_streams") == 256)
            answer = self.api.get("/api/v1/events?after=0&wait_ms=0")
            self.assertEqual((answer.status, answer.json["code"], answer.headers["retry-after"]), (503, "streams", "1"))
            scans = submit(self.api, "limit", [b"limit"])
            wait_for("the verdict", 30, lambda: self.api.get(f"/api/v1/scans/{scans[0]}").json["status"] == "done")
        finally:
            for sock in streams:
                sock.close()
        submit(self.api, "limit", [b"limit 2"])  # a gone client is seen when something is sent to it
        wait_for("their end", 60, lambda: self.metric("web_streams") < 10)

    def test_the_database_goes_and_comes(self):
        signed_in = self.stack.signed_in()
        stream = Sse(self.stack)
        wait_for("now", 30, lambda: stream.last_id)
        scans = submit(self.api, "db", [b"db %d" % i for i in range(20)])
        self.stack.pg.stop()
        body = batch_body([({"engines": ["noop"], "batch": "db"}, b"while it was away")])
        key = {"Idempotency-Key": "while-away"}
        refused = wait_for("refusal", 30, lambda: (a := self.api.post("/api/v1/batch", body, headers=key)).status == 503 and a)
        self.assertEqual((refused.headers["retry-after"], refused.headers["content-type"]), ("1", "application/problem+json"))
        self.assertIn("database", refused.json["detail"])
        read = wait_for("refusal to read", 30, lambda: (a := self.api.get("/api/v1/submissions")).status == 503 and a)
        self.assertEqual(read.json["code"], "unavailable")
        self.assertEqual(self.api.get("/healthz").status, 503)
        status = self.api.get("/api/v1/status")
        self.assertEqual((status.status, status.json["database"]["ok"]), (200, False))
        self.assertEqual(signed_in.get("/").status, 200)
        self.assertEqual(signed_in.get("/api/v1/workers").status, 200)  # the session is remembered, the fleet is not rows
        self.assertEqual(self.api.post("/api/v1/uploads", {"name": "x", "size": 1}).status, 503)
        self.assertEqual(self.api.get("/api/v1/events?after=0&wait_ms=1000").status, 503)
        url = self.api.post("/api/v1/tokens").json["url"]
        enter = self.stack.tcp().get(url[url.index("/enter"):])
        self.assertEqual(enter.status, 503)
        self.stack.pg.start()
        taken = wait_for("recovery", 60, lambda: (a := self.api.post("/api/v1/batch", body, headers=key)).status == 200 and a)
        wait_for("the session", 30, lambda: self.stack.tcp().get(url[url.index("/enter"):]).status == 303)  # not used up
        scans.append(taken.lines[0]["scan"])
        wait_for("all scans", 60, lambda: set(scans) <= set(stream.scans()))
        self.assertEqual(sorted(set(stream.scans()) & set(scans)), sorted(scans))
        self.assertEqual(len(stream.scans()), len(set(stream.scans())))
        wait_for("health", 30, lambda: self.api.get("/healthz").status == 200)
        stream.close()

    def test_acknowledged_means_durable(self):
        body = batch_body([({"engines": ["noop"], "batch": "kill"}, b"kill %d" % i) for i in range(200)])
        key = {"Idempotency-Key": "kill"}
        answers = []
        def send():
            try:
                answers.append(self.stack.local().post("/api/v1/batch", body, headers=key))
            except OSError:
                pass
        thread = threading.Thread(target=send)
        thread.start()
        self.stack.master.kill()
        thread.join(60)
        self.stack.master.start()
        again = self.api.post("/api/v1/batch", body, headers=key)
        self.assertEqual(again.status, 200)
        if answers and answers[0].status == 200:
            self.assertEqual(answers[0].body, again.body)
        self.assertEqual(self.stack.pg.sql("select count(*) from submission where batch = 'kill'"), "200")
        self.assertEqual(len(self.follow("kill", 200)), 200)

    def test_a_standby_reads_and_does_not_write(self):
        sock = self.stack.scratch.path / "state" / "run" / "standby.sock"
        standby = Program(self.stack.scratch, "master/phagescan-master", "--port", "0", "--database", self.stack.pg.conninfo,
                          "--standby", "--stale", "2s", name="standby")
        scans = submit(self.api, "standby", [b"standby"])
        self.follow("standby", 1)
        api = self.stack.local(sock)
        try:
            standby.start()
            self.assertEqual(api.get(f"/api/v1/scans/{scans[0]}").json["status"], "done")
            self.assertFalse(api.get("/api/v1/status").json["leader"])
            refused = api.post("/api/v1/submissions", b"x")
            self.assertEqual((refused.status, refused.json["code"], refused.headers["retry-after"]), (503, "standby", "1"))
            self.assertEqual(len(api.get("/api/v1/events?batch=standby&after=0&wait_ms=0").lines), 1)
            self.assertEqual(api.get("/healthz").status, 200)
            os.kill(self.stack.master.process.pid, signal.SIGSTOP)
            wait_for("the take-over", 30, lambda: api.get("/api/v1/status").json["leader"])
            taken = submit(api, "standby", [b"standby 2"])
            wait_for("a verdict", 60, lambda: api.get(f"/api/v1/scans/{taken[0]}").json["status"] == "done")
            os.kill(self.stack.master.process.pid, signal.SIGCONT)
            wait_for("the old one to see it", 30, lambda: not self.api.get("/api/v1/status").json["leader"])
            self.assertEqual(self.api.post("/api/v1/submissions", b"y").status, 503)
            standby.stop()
            wait_for("the old one to lead again", 30, lambda: self.api.get("/api/v1/status").json["leader"])
        finally:
            os.kill(self.stack.master.process.pid, signal.SIGCONT)
            standby.close()

    def test_two_masters_do_not_share_a_socket(self):
        other = Program(self.stack.scratch, "master/phagescan-master", "--port", "0", "--database", self.stack.pg.conninfo,
                        name="other")
        other.start(ready=False)
        self.assertEqual(other.process.wait(60), 1)
        self.assertIn("another master", other.log.read_text())
        taken = Program(self.stack.scratch, "master/phagescan-master", "--port", self.stack.port, "--api-sock",
                        self.stack.scratch.path / "taken.sock", "--database", self.stack.pg.conninfo, name="taken")
        taken.start(ready=False)
        self.assertEqual(taken.process.wait(60), 1)
        self.assertIn("busy", taken.log.read_text())
        for options, why in ((["--host", "0.0.0.0"], "loopback"), (["--port", "70000"], "65535"), (["--broker", "tcp://x:1"], "--key"),
                             (["--no-such"], "no-such"), (["what"], "what")):
            done = subprocess.run([BUILD / "master/phagescan-master", *options], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn(why, done.stderr)
        for option in ("--help", "--version"):
            done = subprocess.run([BUILD / "master/phagescan-master", option], capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, "phagescan-master" in done.stdout), (0, True))


class Begin(Timed):
    def test_it_listens_before_the_database_is_there(self):
        stack = Stack(start=False)
        try:
            stack.pg.stop()
            stack.master.start(ready=False)
            api = stack.local()
            wait_for("the socket", 60, lambda: stack.master.logged("listening"))
            health = api.get("/healthz")
            self.assertEqual((health.status, b"database" in health.body), (503, True))
            self.assertEqual(api.post("/api/v1/submissions", b"x").status, 503)
            self.assertEqual(api.get("/api/v1/submissions").status, 503)
            self.assertEqual(api.get("/").status, 200)
            stack.pg.start()
            stack.master.wait_ready()
            self.assertEqual(api.post("/api/v1/submissions", b"x").status, 201)
            stack.master.stop()
        finally:
            stack.close()

    def test_it_stops_before_the_database_is_there(self):
        stack = Stack(start=False)
        try:
            stack.pg.stop()
            stack.master.start(ready=False)
            wait_for("the socket", 60, lambda: stack.master.logged("listening"))
            stack.master.stop()
        finally:
            stack.close()

    def test_a_newer_schema_is_refused(self):
        stack = Stack()
        try:
            stack.master.stop()
            stack.pg.sql("insert into schema_migration (number, name) values (9999, '9999_future')")
            stack.master.start(ready=False)
            self.assertEqual(stack.master.process.wait(60), 1)
            self.assertIn("9999", stack.master.log.read_text())
        finally:
            stack.close()

    def test_a_full_disk(self):
        if os.geteuid() != 0:
            self.skipTest("a small file system can be mounted by root only")
        stack = Stack(start=False)
        disk = stack.scratch.path / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(disk)]).returncode != 0:
            stack.close()
            self.skipTest("no file system can be mounted here")
        try:
            stack.master.argv += ["--store", str(disk / "store")]
            stack.master.start()
            api = stack.local()
            self.assertEqual(api.post("/api/v1/submissions?name=fits", os.urandom(MIB)).status, 201)
            filler = disk / "filler"
            filler.write_bytes(b"\0" * (5 * MIB))
            full = api.post("/api/v1/batch", batch_body([({"batch": "full"}, os.urandom(MIB)) for _ in range(4)]))
            self.assertEqual((full.status, full.json["code"], full.headers["retry-after"]), (507, "no-space", "10"))
            self.assertEqual(stack.pg.sql("select count(*) from submission"), "1")
            one = api.post("/api/v1/submissions?name=big", os.urandom(4 * MIB))
            self.assertEqual(one.status, 507)
            up = api.post("/api/v1/uploads", {"name": "x", "size": 64 * MIB})
            self.assertEqual(up.status, 507)
            self.assertEqual(api.get("/api/v1/submissions").json["items"][0]["name"], "fits")  # reading goes on
            filler.unlink()
            self.assertEqual(api.post("/api/v1/batch", batch_body([({"batch": "full"}, os.urandom(MIB)) for _ in range(4)])).status, 200)
            stack.master.stop()
        finally:
            stack.master.close()
            subprocess.run(["umount", str(disk)])
            stack.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
