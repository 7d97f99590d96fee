#!/usr/bin/env python3
"""The API of phagescan-master, asked by a client: who may call, batches, uploads, one-shot submissions, lists, limits.

No broker and no worker: samples are taken and wait."""

import hashlib
import json
import socket
import struct
import sys
import time
import unittest

from web_rig import Stack, batch_body, wait_for

MIB = 1 << 20


def raw(stack, text, local=False, read_all=True):
    """Sends bytes as they are; returns what came until the end, or the first part."""
    if local:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(stack.sock))
    else:
        sock = socket.create_connection(("127.0.0.1", stack.port))
    sock.settimeout(30)
    with sock:
        sock.sendall(text)
        got = b""
        while True:
            part = sock.recv(65536)
            got += part
            if not part or not read_all:
                return got


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = Stack("--max-sample-bytes", str(40 * MIB))

    @classmethod
    def tearDownClass(cls):
        try:
            cls.stack.master.stop()  # no leak, no failed assertion
        finally:
            cls.stack.close()

    def setUp(self):
        self.began = time.monotonic()
        self.api = self.stack.local()
        self.host = f"127.0.0.1:{self.stack.port}"

    def tearDown(self):
        print(f"{time.monotonic() - self.began:.1f} s ", end="", file=sys.stderr)
        self.api.close()

    def problem(self, answer, status, code):
        self.assertEqual((answer.status, answer.headers["content-type"]), (status, "application/problem+json"), answer)
        got = answer.json
        self.assertEqual((got["status"], got["code"]), (status, code), got)
        self.assertTrue(got["title"] and got["detail"], got)
        return got

    # ---- who may call ----

    def test_a_local_program_needs_no_session(self):
        self.assertEqual(self.api.get("/api/v1/submissions").status, 200)

    def test_over_tcp_nobody_is_known_without_a_cookie(self):
        got = self.problem(self.stack.tcp().get("/api/v1/submissions"), 401, "session")
        self.assertIn("phagescan open", got["detail"])
        for cookie in ("phagescan=" + "0" * 64, "phagescan=short", "other=1; phagescan=", "phagescan=" + "x" * 5000):
            self.problem(self.stack.tcp(Cookie=cookie).get("/api/v1/submissions"), 401, "session")

    def test_healthz_metrics_and_the_page_are_open(self):
        tcp = self.stack.tcp()
        self.assertIn(tcp.get("/healthz").status, (200, 503))
        self.assertIn(b"phagescan_ingest_files_total", tcp.get("/metrics").body)
        self.assertEqual(tcp.get("/").status, 200)

    def test_another_name_of_the_server_is_refused(self):
        for path in ("/", "/healthz", "/api/v1/submissions", "/enter?token=x"):
            for host in ("evil.example", "evil.example:" + str(self.stack.port), "127.0.0.1", "127.0.0.1:1",
                         "127.0.0.1.evil.example:" + str(self.stack.port), ""):
                self.problem(self.stack.tcp(Host=host).get(path), 421, "host")
        for host in ("localhost", "[::1]", "LOCALHOST"):
            self.assertEqual(self.stack.tcp(Host=f"{host}:{self.stack.port}").get("/").status, 200)
        self.assertTrue(raw(self.stack, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 "))

    def test_an_address_opens_one_session(self):
        made = self.api.post("/api/v1/tokens")
        self.assertEqual(made.status, 201)
        url = made.json["url"]
        self.assertTrue(url.startswith(f"http://{self.host}/enter?token="), url)
        path = url[url.index("/enter"):]
        self.assertEqual(self.stack.tcp().call("HEAD", path).status, 204)  # looking does not use it up
        first = self.stack.tcp().get(path)
        self.assertEqual((first.status, first.headers["location"]), (303, "/"))
        cookie = first.headers["set-cookie"]
        self.assertIn("HttpOnly", cookie)
        self.assertIn("SameSite=Strict", cookie)
        session = cookie.split(";")[0]
        self.assertEqual(self.stack.tcp(Cookie=session).get("/api/v1/submissions").status, 200)
        again = self.stack.tcp().get(path)
        self.assertEqual(again.status, 403)
        self.assertIn(b"phagescan open", again.body)
        self.assertIsNone(again.headers["set-cookie"])
        self.assertEqual(self.stack.tcp(Cookie=session).get(path).status, 303)  # who is in already just gets the page
        self.assertEqual(self.stack.tcp().get("/enter").status, 403)
        self.assertEqual(self.stack.pg.sql("select count(*) from session where encode(token_hash, 'escape') like '%" +
                                           session.split("=")[1] + "%'"), "0")  # only its hash is kept

    def test_tokens_are_made_over_the_unix_socket_only(self):
        self.problem(self.stack.tcp().post("/api/v1/tokens"), 403, "local")
        self.problem(self.stack.signed_in().post("/api/v1/tokens"), 403, "local")

    def test_pages_of_others_can_not_speak_for_the_user(self):
        session = self.stack.signed_in().headers["Cookie"]
        path, body = "/api/v1/submissions?name=x", b"from a page"
        origin = "http://" + self.host
        for headers, status in (
                ({"Origin": origin}, 201),
                ({"Sec-Fetch-Site": "same-origin"}, 201),
                ({"Origin": origin, "Sec-Fetch-Site": "same-origin"}, 201),
                ({}, 403),
                ({"Origin": "null"}, 403),
                ({"Origin": "http://evil.example"}, 403),
                ({"Origin": "https://" + self.host}, 403),
                ({"Origin": origin + "1"}, 403),
                ({"Origin": "http://localhost:" + str(self.stack.port)}, 403),
                ({"Origin": origin, "Sec-Fetch-Site": "cross-site"}, 403),
                ({"Origin": origin, "Sec-Fetch-Site": "same-site"}, 403)):
            answer = self.stack.tcp(Cookie=session).post(path, body, headers=headers)
            self.assertEqual(answer.status, status, (headers, answer))
        for site, status in (("cross-site", 403), ("same-site", 403), ("none", 200), ("same-origin", 200)):
            answer = self.stack.tcp(Cookie=session).get("/api/v1/submissions", headers={"Sec-Fetch-Site": site})
            self.assertEqual(answer.status, status, site)

    def test_every_answer_carries_the_walls(self):
        for answer in (self.api.get("/"), self.api.get("/api/v1/status"), self.api.get("/api/v1/nothing"), self.api.get("/no.png")):
            self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            self.assertEqual(answer.headers["x-frame-options"], "DENY")
            self.assertEqual(answer.headers["referrer-policy"], "no-referrer")
            self.assertIsNone(answer.headers["access-control-allow-origin"])

    # ---- ways that lead nowhere ----

    def test_unknown_paths_and_methods(self):
        self.problem(self.api.get("/api/v1/nothing"), 404, "not-found")
        self.problem(self.api.get("/api/v1/scans/abc"), 404, "not-found")
        self.problem(self.api.get("/api/v1/scans/99999999999999999999"), 404, "not-found")
        self.problem(self.api.get("/api/v1/samples/zz"), 400, "sha256")
        self.problem(self.api.get("/api/v1/samples/" + "0" * 64), 404, "not-found")
        self.problem(self.api.call("PUT", "/api/v1/submissions", b""), 405, "method")
        self.problem(self.api.call("DELETE", "/somewhere"), 405, "method")
        self.problem(self.api.get("/api/v1/submissions?limit=0"), 400, "parameter")
        self.problem(self.api.get("/api/v1/submissions?limit=501"), 400, "parameter")
        self.problem(self.api.get("/api/v1/submissions?verdict=good"), 400, "parameter")
        self.problem(self.api.get("/api/v1/submissions?q=" + "x" * 257), 400, "parameter")
        self.problem(self.api.get("/api/v1/submissions?batch=%ff"), 400, "parameter")
        self.problem(self.api.get("/api/v1/submissions?batch=a%00b"), 400, "parameter")
        self.problem(self.api.get("/api/v1/events?after=-1"), 400, "parameter")

    def test_the_page_answers_for_its_places(self):
        page = self.api.get("/samples/" + "0" * 64)
        self.assertEqual((page.status, page.headers["cache-control"]), (200, "no-cache"))
        self.assertIn(b"<title>page", page.body)
        script = self.api.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "gzip"})
        self.assertIn("immutable", script.headers["cache-control"])
        self.assertEqual(script.headers["content-encoding"], "gzip")
        self.assertIn("javascript", script.headers["content-type"])
        self.problem(self.api.get("/assets/gone-1a2b.js"), 404, "not-found")
        for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2f..%2f..%2fetc/passwd"):
            self.assertNotIn(b"root:", self.api.get(path).body)

    def test_ambiguous_requests_are_refused(self):
        host = f"Host: {self.host}\r\n".encode()
        length = b"Content-Length: 5\r\n"
        for local in (True, False):
            for head in (length + length, length + b"Transfer-Encoding: chunked\r\n", host, b"X-Folded: a\r\n b\r\n"):
                got = raw(self.stack, b"POST /api/v1/submissions HTTP/1.1\r\n" + host + head + b"\r\n5\r\nhello\r\n0\r\n\r\n", local)
                self.assertTrue(got.startswith(b"HTTP/1.1 400 "), (head, got))
                self.assertIn(b"Connection: close", got)
                self.assertEqual(got.count(b"HTTP/1.1 "), 1, got)  # what follows is no second request

    # ---- one shot ----

    def test_one_shot(self):
        data = b"one shot"
        answer = self.api.post("/api/v1/submissions?name=a%20b.bin&tags=x,y&batch=one&source_path=%2Ftmp%2Fa&visibility=team"
                               "&profile=fast&priority=interactive&sha256=" + hashlib.sha256(data).hexdigest(), data)
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(answer.json["sha256"], hashlib.sha256(data).hexdigest())
        self.assertFalse(answer.json["known"])
        got = self.api.get(f"/api/v1/submissions/{answer.json['submission']}").json
        self.assertEqual((got["name"], got["tags"], got["batch"], got["source_path"], got["visibility"], got["size"]),
                         ("a b.bin", ["x", "y"], "one", "/tmp/a", "team", len(data)))
        self.assertEqual((got["scan"]["profile"], got["scan"]["status"], got["owner"]), ("fast", "queued", "local"))
        self.assertEqual({r["engine"] for r in got["results"]}, {"type", "hashes", "clamav"})
        again = self.api.post("/api/v1/submissions?name=again", data)
        self.assertTrue(again.json["known"])

    def test_one_shot_of_nothing(self):
        answer = self.api.post("/api/v1/submissions?name=empty", b"")
        self.assertEqual((answer.status, answer.json["sha256"]), (201, hashlib.sha256(b"").hexdigest()))

    def test_one_shot_refuses_what_is_wrong(self):
        self.problem(self.api.post("/api/v1/submissions?sha256=" + "0" * 64, b"other bytes"), 400, "invalid")
        self.problem(self.api.post("/api/v1/submissions?profile=none-such", b"x"), 400, "invalid")
        self.problem(self.api.post("/api/v1/submissions?engines=none-such", b"x"), 400, "invalid")
        self.problem(self.api.post("/api/v1/submissions?visibility=all", b"x"), 400, "invalid")
        self.problem(self.api.post("/api/v1/submissions?name=" + "n" * 4097, b"x"), 400, "invalid")

    def test_one_shot_without_a_length(self):
        got = raw(self.stack, b"POST /api/v1/submissions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", local=True)
        self.assertTrue(got.startswith(b"HTTP/1.1 411 "), got)

    def test_one_shot_in_pieces(self):
        got = raw(self.stack, b"POST /api/v1/submissions?name=pieces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", local=True)
        self.assertTrue(got.startswith(b"HTTP/1.1 201 "), got)
        self.assertIn(hashlib.sha256(b"abcdefg").hexdigest().encode(), got)

    def test_too_much_is_refused_before_it_is_sent(self):
        for local in (True, False):
            got = raw(self.stack, b"POST /api/v1/submissions HTTP/1.1\r\nHost: " + self.host.encode() +
                      b"\r\nContent-Length: 67108865\r\n\r\n", local)
            head, _, body = got.partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 413 "), head)
            self.assertIn(b"application/problem+json", head)
            self.assertEqual((json.loads(body)["code"], json.loads(body)["limit"]), ("limit", 40 * MIB))
            # Who sends it all the same, without looking, gets the answer too.
            got = raw(self.stack, b"POST /api/v1/submissions HTTP/1.1\r\nHost: " + self.host.encode() +
                      b"\r\nContent-Length: %d\r\n\r\n" % (66 * MIB) + b"\0" * (66 * MIB), local)
            self.assertTrue(got.startswith(b"HTTP/1.1 413 "), got[:100])
        got = self.problem(self.api.post("/api/v1/submissions", b"\0" * (40 * MIB + 1)), 413, "limit")
        self.assertEqual(got["limit"], 40 * MIB)

    def test_large_bodies_lie_in_a_file(self):
        data = b"0123456789abcdef" * (36 * MIB // 16)
        answer = self.api.post("/api/v1/submissions?name=large", data)
        self.assertEqual((answer.status, answer.json["sha256"]), (201, hashlib.sha256(data).hexdigest()))
        self.assertEqual(list((self.stack.scratch.path / "state" / "store" / "bodies").iterdir()), [])

    # ---- batches ----

    def test_batch(self):
        files = [({"batch": "b1", "name": "dir/a"}, b"first"), ({"batch": "b1"}, b"second"), ({"batch": "b1"}, b"first"),
                 ({"batch": "b1"}, b"")]
        answer = self.api.post("/api/v1/batch", batch_body(files))
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/x-ndjson"))
        self.assertEqual([line["n"] for line in answer.lines], [0, 1, 2, 3])
        self.assertEqual([line["sha256"] for line in answer.lines], [hashlib.sha256(data).hexdigest() for _, data in files])
        self.assertEqual(answer.lines[0]["scan"], answer.lines[2]["scan"])  # the same bytes, one scan
        self.assertEqual(len({line["submission"] for line in answer.lines}), 4)
        listed = self.api.get("/api/v1/submissions?batch=b1").json["items"]
        self.assertEqual([s["id"] for s in listed], sorted((line["submission"] for line in answer.lines), reverse=True))
        self.assertEqual(listed[-1]["name"], "a")  # the base name

    def test_batch_with_a_bad_header_in_the_middle(self):
        good = batch_body([({}, b"before 1"), ({}, b"before 2")])
        for bad in (struct.pack(">I", 7) + b"{wrong}", struct.pack(">I", 70000), b"\0\0", struct.pack(">I", 100) + b"{}",
                    struct.pack(">I", 33) + b'{"n":2,"name":"x","size":1000000}', struct.pack(">I", 2) + b"[]"):
            answer = self.api.post("/api/v1/batch", good + bad + batch_body([({}, b"after")]) if len(bad) > 2 else good + bad)
            self.assertEqual(answer.status, 200)
            *stand, last = answer.lines
            self.assertEqual([line["n"] for line in stand], [0, 1], bad)
            self.assertTrue(all("sha256" in line for line in stand))
            self.assertEqual((last["n"], last["at"]), (None, len(good)), last)
            self.assertIn(last["problem"]["status"], (400, 413))
            self.assertTrue(last["problem"]["detail"])

    def test_batch_with_one_file_that_is_refused(self):
        answer = self.api.post("/api/v1/batch", batch_body([({}, b"ok 1"), ({"profile": "none-such"}, b"not ok"), ({}, b"ok 2"),
                                                            ({"sha256": "0" * 64}, b"other")]))
        self.assertEqual([("problem" in line) for line in answer.lines], [False, True, False, True])
        self.assertEqual([line["n"] for line in answer.lines], [0, 1, 2, 3])

    def test_batch_over_its_limits(self):
        got = self.problem(self.api.post("/api/v1/batch", b"\0" * (16 * MIB + 1)), 413, "limit")
        self.assertEqual(got["limit"], 16 * MIB)
        answer = self.api.post("/api/v1/batch", batch_body([({"name": "x"}, b"")] * 4097))
        self.assertEqual(len(answer.lines), 4097)
        self.assertEqual((answer.lines[-1]["n"], answer.lines[-1]["problem"]["code"]), (None, "limit"))
        self.assertEqual(self.api.post("/api/v1/batch", b"").body, b"")

    def test_a_lost_answer_is_given_again(self):
        body = batch_body([({}, b"idempotent 1"), ({}, b"idempotent 2")])
        key = {"Idempotency-Key": "key-1"}
        first = self.api.post("/api/v1/batch", body, headers=key)
        second = self.api.post("/api/v1/batch", body, headers=key)
        self.assertEqual((first.status, first.body), (200, second.body))
        self.assertIsNone(first.headers["idempotency-replayed"])
        self.assertEqual(second.headers["idempotency-replayed"], "true")
        self.problem(self.api.post("/api/v1/batch", batch_body([({}, b"something else")]), headers=key), 409, "conflict")
        self.problem(self.api.post("/api/v1/batch", body, headers={"Idempotency-Key": "k" * 129}), 400, "idempotency-key")
        self.assertEqual(self.stack.pg.sql("select count(*) from submission m join sample p on p.id = m.sample_id "
                                           "where p.sha256 = sha256('idempotent 1')"), "1")

    def test_names_of_an_enemy(self):
        names = ["a\nb", "<script>alert(1)</script>", "\u202etxt.exe", "n" * 4096, "", ".", "/etc/", "a\\b", "\x7f\x01", "日本"]
        answer = self.api.post("/api/v1/batch", batch_body([({"name": n, "batch": "enemy"}, b"x") for n in names]))
        self.assertTrue(all("submission" in line for line in answer.lines), answer.lines)
        listed = self.api.get("/api/v1/submissions?batch=enemy").json["items"]
        self.assertEqual(len(listed), len(names))
        self.assertIn("a\nb", [s["name"] for s in listed])
        clean = self.api.post("/api/v1/submissions?name=a%ff%00b", b"bytes")
        self.assertEqual(self.api.get(f"/api/v1/submissions/{clean.json['submission']}").json["name"], "a\\xff\\x00b")

    # ---- uploads ----

    def begin(self, data, **more):
        answer = self.api.post("/api/v1/uploads", {"name": "up", "size": len(data), **more})
        self.assertEqual((answer.status, answer.json["offset"], answer.json["chunk_bytes"]), (201, 0, 8 * MIB), answer)
        return "/api/v1/uploads/" + answer.json["id"]

    def patch(self, path, offset, data):
        return self.api.call("PATCH", path, data, headers={"Upload-Offset": str(offset)})

    def test_upload_in_chunks(self):
        data = bytes(range(256)) * 20000
        path = self.begin(data, batch="up1", sha256=hashlib.sha256(data).hexdigest())
        first = self.patch(path, 0, data[:MIB])
        self.assertEqual((first.status, first.json["offset"]), (200, MIB))
        head = self.api.call("HEAD", path)
        self.assertEqual((head.status, head.headers["upload-offset"], head.body), (200, str(MIB), b""))
        for offset in (0, MIB - 1, MIB + 1, 4 * MIB):  # repeated, overlapping, out of order
            got = self.problem(self.patch(path, offset, data[offset:offset + 1000]), 409, "offset")
            self.assertEqual(got["offset"], MIB)
        last = self.patch(path, MIB, data[MIB:])
        self.assertEqual((last.status, last.json["sha256"], last.json["offset"]),
                         (200, hashlib.sha256(data).hexdigest(), len(data)), last)
        self.assertEqual(self.patch(path, MIB, data[MIB:]).json["submission"], last.json["submission"])  # a lost answer
        done = self.api.get(path).json
        self.assertEqual((done["complete"], done["submission"], done["sha256"]), (True, last.json["submission"], last.json["sha256"]))
        self.assertEqual(self.api.get("/api/v1/submissions?batch=up1").json["items"][0]["size"], len(data))

    def test_upload_goes_on_after_a_restart(self):
        data = b"resume me " * 100000
        path = self.begin(data)
        self.assertEqual(self.patch(path, 0, data[:500000]).json["offset"], 500000)
        self.stack.master.kill()
        self.stack.master.start()
        got = self.api.get(path).json
        self.assertEqual((got["offset"], got["size"], got["complete"]), (500000, len(data), False))
        self.assertEqual(self.patch(path, 500000, data[500000:]).json["sha256"], hashlib.sha256(data).hexdigest())

    def test_upload_refuses(self):
        got = self.problem(self.api.post("/api/v1/uploads", {"name": "x", "size": 40 * MIB + 1}), 413, "limit")
        self.assertEqual(got["limit"], 40 * MIB)
        for body in (b"", b"[]", b"{", {"name": "x"}, {"size": 1}, {"name": "x", "size": -1}, {"name": "x", "size": 1, "y": 1}):
            self.problem(self.api.post("/api/v1/uploads", body), 400, "invalid")
        self.problem(self.patch("/api/v1/uploads/none", 0, b"x"), 404, "not-found")
        self.problem(self.api.get("/api/v1/uploads/..%2f..%2fx"), 404, "not-found")
        path = self.begin(b"12345")
        self.problem(self.api.call("PATCH", path, b"1"), 400, "upload-offset")
        self.problem(self.patch(path, 0, b"123456"), 400, "invalid")
        self.problem(self.patch(path, 0, b"\0" * (16 * MIB + 1)), 413, "limit")
        self.assertEqual(self.api.call("DELETE", path).status, 204)
        self.problem(self.api.get(path), 404, "not-found")
        self.problem(self.api.call("DELETE", path), 404, "not-found")
        path = self.begin(b"12345", sha256="0" * 64)
        self.problem(self.patch(path, 0, b"12345"), 400, "invalid")

    def test_upload_of_nothing(self):
        path = self.begin(b"")
        self.assertEqual(self.patch(path, 0, b"").json["sha256"], hashlib.sha256(b"").hexdigest())

    # ---- reading ----

    def test_lists_are_paged(self):
        ids = [line["submission"] for line in
               self.api.post("/api/v1/batch", batch_body([({"batch": "pages"}, b"p%d" % i) for i in range(25)])).lines]
        seen, path = [], "/api/v1/submissions?batch=pages&limit=10"
        page = self.api.get(path).json
        while True:
            seen += [s["id"] for s in page["items"]]
            if page["next"] is None:
                break
            page = self.api.get(f"{path}&before={page['next']}").json
        self.assertEqual(seen, sorted(ids, reverse=True))

    def test_search(self):
        lines = self.api.post("/api/v1/batch", batch_body([({"name": "needle 100%_.exe", "tags": ["red"]}, b"needle"),
                                                           ({"name": "hay"}, b"hay")])).lines
        def found(q, more=""):
            return [s["id"] for s in self.api.get(f"/api/v1/submissions?q={q}{more}").json["items"]]
        self.assertEqual(found("NEEDLE%20100%25_"), [lines[0]["submission"]])
        self.assertEqual(found("needle%20100__"), [])  # % and _ mean themselves
        self.assertEqual(found("red"), [lines[0]["submission"]])
        self.assertEqual(found(lines[0]["sha256"]), [lines[0]["submission"]])
        self.assertEqual(found(lines[0]["sha256"].upper(), "&verdict=queued"), [lines[0]["submission"]])
        self.assertEqual(found(lines[0]["sha256"], "&verdict=malicious"), [])
        self.assertEqual(found("missing:clamav"), [])
        self.assertEqual(found("0" * 64), [])

    def test_report_and_rescan(self):
        line = self.api.post("/api/v1/batch", batch_body([({"name": "r1"}, b"report"), ({"name": "r2"}, b"report")])).lines[0]
        path = "/api/v1/samples/" + line["sha256"]
        report = self.api.get(path).json
        self.assertEqual((report["submissions"], report["names"], report["size"]), (2, ["r2", "r1"], 6))
        self.assertEqual((report["scan"]["id"], report["md5"], len(report["results"])), (line["scan"], None, 4))
        self.assertEqual(self.api.call("HEAD", path).status, 200)
        self.assertEqual(self.api.call("HEAD", "/api/v1/samples/" + "1" * 64).status, 404)
        scan = self.api.get(f"/api/v1/scans/{line['scan']}").json
        self.assertEqual((scan["sha256"], scan["cause"], len(scan["results"])), (line["sha256"], "submission", 4))
        again = self.api.post(path + "/scans", {"engines": ["type"]})
        self.assertEqual(again.status, 201, again)
        rescan = self.api.get(f"/api/v1/scans/{again.json['scan']}").json
        self.assertEqual((rescan["cause"], [r["engine"] for r in rescan["results"]]), ("rescan", ["type"]))
        report = self.api.get(path).json
        self.assertEqual([s["id"] for s in report["scans"]], [again.json["scan"], line["scan"]])
        self.assertEqual(self.api.post(path + "/scans").status, 201)
        self.problem(self.api.post(path + "/scans", {"name": "x"}), 400, "invalid")
        self.problem(self.api.post(path + "/scans", b"[1]"), 400, "invalid")
        self.problem(self.api.post("/api/v1/samples/" + "2" * 64 + "/scans"), 404, "not-found")

    def test_what_is_the_owners_is_not_everyones(self):
        line = self.api.post("/api/v1/batch", batch_body([({"visibility": "owner"}, b"secret")])).lines[0]
        self.assertEqual(self.api.get(f"/api/v1/submissions/{line['submission']}").status, 200)
        self.stack.pg.sql("insert into account (name) values ('other')")
        self.stack.pg.sql(f"update submission set owner_id = (select id from account where name = 'other') "
                          f"where id = {line['submission']}")
        self.problem(self.api.get(f"/api/v1/submissions/{line['submission']}"), 404, "not-found")
        self.problem(self.api.get("/api/v1/samples/" + line["sha256"]), 404, "not-found")
        self.problem(self.api.get(f"/api/v1/scans/{line['scan']}"), 404, "not-found")
        self.problem(self.api.post("/api/v1/samples/" + line["sha256"] + "/scans"), 404, "not-found")
        self.assertEqual(self.api.get("/api/v1/submissions?q=" + line["sha256"]).json["items"], [])

    def test_status(self):
        got = self.api.get("/api/v1/status").json
        self.assertEqual((got["leader"], got["database"]["ok"], got["broker"]["ok"]), (True, True, False))
        self.assertEqual(got["limits"], {"max_sample_bytes": 40 * MIB, "batch_bytes": 16 * MIB, "batch_files": 4096,
                                         "chunk_bytes": 8 * MIB, "oneshot_bytes": 64 * MIB})
        health = self.api.get("/healthz")
        self.assertEqual(health.status, 503)
        self.assertIn(b"broker", health.body)

    # ---- limits of the server ----

    def test_connections_have_a_limit(self):
        many = []
        try:
            for _ in range(1024 + 20):
                many.append(socket.create_connection(("127.0.0.1", self.stack.port)))
            wait_for("refusals", 30, lambda: self.metric("web_refused_total") >= 20)
            self.assertEqual(self.api.get("/api/v1/status").status, 200)  # local programs have places of their own
        finally:
            for sock in many:
                sock.close()
        wait_for("places", 30, lambda: self.metric("web_connections") < 100)

    def metric(self, name):
        for line in self.api.get("/metrics").body.decode().splitlines():
            if line.startswith(f"phagescan_{name} "):
                return float(line.split()[1])
        raise AssertionError(name)

    def test_garbage(self):
        for text in (b"\0" * 1000 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
                     b"GET /" + b"a" * 500000 + b" HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                     b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"POST / HTTP/1.1\r\nExpect: something\r\nContent-Length: 1\r\n\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            try:
                raw(self.stack, text, read_all=False)
            except (ConnectionResetError, BrokenPipeError):
                pass
        self.assertEqual(self.api.get("/api/v1/status").status, 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
