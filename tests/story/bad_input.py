"""Input that is wrong, too large, cut, repeated or named by an enemy: a clear word to the sender, and what was
acknowledged stands."""

import hashlib
import json
import urllib.parse

from bad_kit import (Ground, all_done, at_once, batch, count, part, problem, raw_request, read_answer, tell)
from stack import outcomes, until

LIMIT = 1 << 20
CRASHY = "crashy,hashes,type"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def an_empty_file_is_a_sample(stack):
    """By every road; engines look at its nothing, and it is no error to anyone."""
    report = stack.oneshot(b"", "empty", engines=CRASHY)
    assert report["sha256"] == sha256(b"") and report["size"] == 0, report
    assert report["scan"]["verdict"] == "nothing-found", report["scan"]
    assert outcomes(report) == {"crashy": "undetected", "hashes": "described", "type": "described"}, outcomes(report)
    assert report["md5"] == hashlib.md5(b"").hexdigest()

    lines = batch(stack, part(1, b"", "empty too")).lines
    assert lines[0]["sha256"] == sha256(b"") and lines[0]["known"], lines

    new = stack.api("POST", "/uploads", {"name": "empty", "size": 0})
    assert new.status == 201, new.body
    end = stack.api("PATCH", f"/uploads/{new.json['id']}", b"", {"Upload-Offset": "0", "Content-Length": "0"})
    assert end.status == 200 and end.json["sha256"] == sha256(b"") and end.json["submission"], end.body

    path = stack.dir / "empty"
    path.write_bytes(b"")
    done = stack.cli("submit", "--wait", "--json", "--engines", CRASHY, path, timeout=60)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)


def a_sample_over_the_limit_is_refused_before_it_is_sent(stack):
    before = count(stack, "submission")
    told = problem(stack.api("POST", "/uploads", {"name": "big", "size": LIMIT + 1}), 413, str(LIMIT), code="limit")
    assert told["limit"] == LIMIT, told

    told = problem(stack.api("POST", "/submissions?name=big", b"x" * (LIMIT + 1)), 413, str(LIMIT))
    assert told["limit"] == LIMIT, told

    # No byte of the body is ever sent: the length alone is refused.
    for length in (17 << 20, 3 << 30, 1 << 62):
        with raw_request(stack, "POST", "/submissions?name=big", {"Content-Length": str(length)}) as s:
            status, told = read_answer(s)
        assert status == 413 and told["limit"] <= 17 << 20 and "/uploads" in told["detail"], (status, told)

    lines = batch(stack, part(1, b"a") + part(2, b"y" * (LIMIT + 1)) + part(3, b"c")).lines
    assert [("problem" in line) for line in lines] == [False, True, False], lines
    assert lines[1]["problem"]["status"] == 413 and str(LIMIT) in lines[1]["problem"]["detail"], lines[1]
    assert count(stack, "submission") == before + 2

    path = stack.dir / "big"
    path.write_bytes(b"z" * (LIMIT + 1))
    done = stack.cli("submit", "--wait", "--json", path, timeout=60)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert str(LIMIT) in done.stdout + done.stderr, (done.stdout, done.stderr)
    assert count(stack, "submission") == before + 2


def patch(stack, upload, offset, data):
    return stack.api("PATCH", f"/uploads/{upload}", data, {"Upload-Offset": str(offset)})


def an_upload_goes_on_where_it_stood(stack):
    """Chunks out of order, twice, too long, cut in the middle, and a master that is killed and one that is restarted:
    every time the answer says where to go on."""
    data = bytes(range(256)) * 2000
    new = stack.api("POST", "/uploads", {"name": "in pieces", "size": len(data), "engines": ["hashes"]})
    upload = new.json["id"]

    told = problem(patch(stack, upload, 1000, data[1000:2000]), 409, "0", code="offset")
    assert told["offset"] == 0, told
    assert patch(stack, upload, 0, data[:1000]).json["offset"] == 1000
    for offset in (0, 500, 2000):
        answer = patch(stack, upload, offset, data[offset:offset + 1000])
        told = problem(answer, 409, "1000", code="offset")
        assert told["offset"] == 1000 and answer.headers["upload-offset"] == "1000", told
    problem(patch(stack, upload, 1000, data[1000:] + b"more"), 400, str(len(data)))
    problem(stack.api("PATCH", f"/uploads/{upload}", b"data"), 400, "Upload-Offset")

    # A chunk whose end never comes: nothing of it counts.
    with raw_request(stack, "PATCH", f"/uploads/{upload}", {"Upload-Offset": "1000", "Content-Length": "100000"},
                     data[1000:51000]):
        pass
    assert stack.api("HEAD", f"/uploads/{upload}").headers["upload-offset"] == "1000"
    assert patch(stack, upload, 1000, data[1000:200_000]).json["offset"] == 200_000

    stack.kill("master")
    stack.start("master")
    assert stack.api("GET", f"/uploads/{upload}").json == {"offset": 200_000, "size": len(data), "complete": False}
    problem(patch(stack, upload, 0, data[:1000]), 409, "200000")
    assert patch(stack, upload, 200_000, data[200_000:300_000]).json["offset"] == 300_000
    stack.stop("master")
    stack.start("master")
    end = patch(stack, upload, 300_000, data[300_000:])
    assert end.status == 200 and end.json["sha256"] == sha256(data) and end.json["offset"] == len(data), end.body

    # The reply to the last chunk was lost: it is told again, and it is the same submission.
    again = patch(stack, upload, 300_000, data[300_000:])
    assert again.status == 200 and again.json["submission"] == end.json["submission"], again.body
    assert count(stack, "submission", "name = 'in pieces'") == 1
    report = stack.report(sha256(data), end.json["scan"])
    assert report["md5"] == hashlib.md5(data).hexdigest() and report["size"] == len(data)


def an_upload_with_another_hash_is_refused(stack):
    new = stack.api("POST", "/uploads", {"name": "x", "size": 4, "sha256": sha256(b"good")})
    problem(patch(stack, new.json["id"], 0, b"evil"), 400, "SHA-256", "declared")
    problem(patch(stack, new.json["id"], 0, b"good"), 404, "no such upload")
    assert stack.api("HEAD", f"/samples/{sha256(b'evil')}").status == 404


def a_bad_header_in_the_middle_keeps_what_was_before(stack):
    good = part(1, b"before 1") + part(2, b"before 2")
    bad_headers = {
        "no JSON": b"\0\0\0\x05hello",
        "a key that nobody knows": part(3, b"", evil=True),
        "no size": b"\0\0\0\x13" + b'{"n":3,"name":"x"} ',
        "a length past the end": b"\0\0\x10\0{}",
        "a length past everything": b"\xff\xff\xff\xff",
        "bytes that are not there": b"\0\0\0\x20" + b'{"n":3,"name":"x","size":999999}',
        "half a length": b"\0\0",
        "a NUL in the name": b"\0\0\0\x23" + b'{"n":3,"name":"a\\u0000b","size":0} ',
    }
    for what, bad in bad_headers.items():
        before = count(stack, "submission")
        after = part(4, b"after") if what in ("no JSON", "a key that nobody knows", "no size") else b""
        lines = batch(stack, good + bad + after).lines
        assert [line["n"] for line in lines] == [1, 2, None], (what, lines)
        assert lines[0]["submission"] and lines[1]["sha256"] == sha256(b"before 2"), (what, lines)
        last = lines[2]
        assert last["at"] == len(good) and last["problem"]["status"] in (400, 413) and last["problem"]["detail"], (what, last)
        assert count(stack, "submission") == before + 2, what
    assert stack.api("HEAD", f"/samples/{sha256(b'after')}").status == 404

    # A header that can be read, of a file that can't be taken: only this one is refused.
    lines = batch(stack, part(1, b"one") + part(2, b"two", sha256="0" * 64) + part(3, b"three", engines=["nobody"]) +
                  part(4, b"four")).lines
    assert ["problem" in line for line in lines] == [False, True, True, False], lines
    assert "SHA-256" in lines[1]["problem"]["detail"] and "nobody" not in lines[1]["problem"]["detail"], lines[1]
    assert "engine" in lines[2]["problem"]["detail"], lines[2]


def a_lost_reply_is_told_again(stack):
    """The connection is cut before the answer is read; the same key and body give the same answer, nothing twice."""
    body = part(1, b"lost reply 1") + part(2, b"lost reply 2") + b"\0\0\0\x05hello"
    before = count(stack, "submission")
    with raw_request(stack, "POST", "/batch", {"Content-Length": str(len(body)), "Idempotency-Key": "lost-1"}, body):
        pass
    first = batch(stack, body, "lost-1")
    again = batch(stack, body, "lost-1")
    assert first.status == again.status == 200 and first.body == again.body, (first.body, again.body)
    assert again.headers["idempotency-replayed"] == "true", again.headers.as_string()
    assert len(first.lines) == 3 and first.lines[2]["n"] is None
    until(lambda: count(stack, "submission") >= before + 2, what="the first request")
    assert count(stack, "submission") == before + 2

    stack.kill("master")
    stack.start("master")
    assert batch(stack, body, "lost-1").body == first.body
    told = problem(batch(stack, part(1, b"another"), "lost-1"), 409, "another body", "new key")
    assert told["code"] == "conflict"
    assert stack.api("HEAD", f"/samples/{sha256(b'another')}").status == 404
    assert count(stack, "submission") == before + 2

    # The same key many times at one moment: one of them is the first.
    answers = at_once(8, lambda i: batch(stack, part(1, b"many at once"), "lost-2"))
    assert {a.status for a in answers} == {200} and len({a.body for a in answers}) == 1, [a.body for a in answers]
    assert count(stack, "submission") == before + 3

    for key in ("k" * 129, "k" * 20_000):
        answer = batch(stack, part(1, b"x"), key)
        assert answer.status == 400, (answer.status, answer.body)


NAMES = {
    "new\nline": b"new\nline",
    "<script>alert(1)": b"<script>alert(1)",
    "\x1b[31mred\x07": b"\x1b[31mred\x07",
    "\u202egnp.exe": "\u202egnp.exe".encode(),
    "not \\xFF\\xFE utf-8": b"not \xff\xfe utf-8",
    "n" * 4096: b"n" * 4096,
}


def a_name_is_only_a_text(stack):
    for want, name in NAMES.items():
        data = b"named " + name[:40]
        answer = stack.api("POST", "/submissions?engines=hashes&name=" + urllib.parse.quote_from_bytes(name), data)
        assert answer.status == 201, (name[:40], answer.body)
        report = stack.report(answer.json["sha256"], answer.json["scan"])
        assert [n.lower() for n in report["names"]] == [want.lower()], (name[:40], report["names"])
        told = stack.api("GET", f"/submissions/{answer.json['submission']}")
        assert told.headers["content-type"].startswith("application/json") and told.headers["x-content-type-options"] == "nosniff"
        assert told.json["name"].lower() == want.lower()
    problem(stack.api("POST", "/submissions?name=" + "n" * 4097, b"x"), 400, "name", "4096")
    problem(stack.api("POST", "/submissions?name=" + "%ff" * 4096, b"x"), 400, "name", "4096")

    lines = batch(stack, b"".join(part(i, b"b" + name[:40], want) for i, (want, name) in enumerate(NAMES.items()))).lines
    assert len(lines) == len(NAMES) and not any("problem" in line for line in lines), lines
    bad = b'{"n":1,"name":"\xff\xfe","size":0}'
    lines = batch(stack, len(bad).to_bytes(4, "big") + bad).lines
    assert lines[0]["n"] is None and "UTF-8" in lines[0]["problem"]["detail"], lines

    # Names of paths and names with a path in them stay names: nothing outside the store is touched.
    for name in ("../../../../tmp/evil", "/etc/passwd", "..", "."):
        report = stack.oneshot(b"path " + name.encode(), urllib.parse.quote(name), engines="hashes")
        assert report["names"] and "/" not in report["names"][0], report["names"]


def files_of_bad_names_by_the_command_line(stack):
    folder = stack.dir / "names"
    folder.mkdir()
    names = [b"new\nline", b"<script>", b"not \xff\xfe utf-8", b"\x1b[31mred", b"-rf", b"n" * 255]
    for name in names:
        with open(bytes(folder) + b"/" + name, "wb") as f:
            f.write(b"cli " + name)
    done = stack.cli("submit", "--wait", "--json", "--engines", "hashes", folder, timeout=120)
    assert done.returncode in (0, 2), (done.returncode, done.stdout, done.stderr)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(names) and not any("error" in line for line in lines), done.stdout
    assert {line["sha256"] for line in lines} == {sha256(b"cli " + name) for name in names}
    assert "\x1b" not in done.stdout and "\x1b[31m" not in done.stderr

    table = stack.cli("submit", "--wait", "--engines", "hashes", folder, timeout=120)
    assert "\x1b[31m" not in table.stdout + table.stderr and "new\nline" not in table.stdout, table.stdout


def the_same_file_at_the_same_moment(stack):
    data = b"CRASHY malicious Same.File\n" + b"s" * 5000
    n = 24

    def submit(i):
        if i % 3 == 0:
            return stack.api("POST", f"/submissions?name=same-{i}&engines={CRASHY}", data).json
        if i % 3 == 1:
            return batch(stack, part(1, data, f"same-{i}", engines=CRASHY.split(","))).lines[0]
        new = stack.api("POST", "/uploads", {"name": f"same-{i}", "size": len(data), "engines": CRASHY.split(",")})
        return patch(stack, new.json["id"], 0, data).json
    answers = at_once(n, submit)
    assert {a["sha256"] for a in answers} == {sha256(data)}, answers
    assert len({a["submission"] for a in answers}) == n, answers
    assert count(stack, "sample", f"sha256 = '\\x{sha256(data)}'") == 1
    assert sum(not a["known"] for a in answers) >= 1
    all_done(stack)
    for a in answers:
        told = stack.api("GET", f"/submissions/{a['submission']}").json
        assert told["scan"]["verdict"] == "malicious" and told["scan"]["label"] == "Same.File", told
    names = {row[0] for row in stack.postgres.sql("select name from submission where name like 'same-%'")}
    assert names == {f"same-{i}" for i in range(n)}


def nothing_is_left_half_done(stack):
    all_done(stack)
    left = [p for p in (stack.state / "store").rglob("*") if p.is_file()]
    samples = count(stack, "sample")
    assert sum(len(p.name) >= 60 for p in left) == samples, (samples, len(left))


ground = Ground(engines=["crashy", "hashes", "type"], options={"master": ["--max-sample-bytes", str(LIMIT)]})
tell(*ground.stories(an_empty_file_is_a_sample, a_sample_over_the_limit_is_refused_before_it_is_sent,
                     an_upload_goes_on_where_it_stood, an_upload_with_another_hash_is_refused,
                     a_bad_header_in_the_middle_keeps_what_was_before, a_lost_reply_is_told_again, a_name_is_only_a_text,
                     files_of_bad_names_by_the_command_line, the_same_file_at_the_same_moment, nothing_is_left_half_done))
