"""Engines that crash, hang, refuse or are not there; files that no engine looks through: the report says so, other samples
are served, and an engine that comes is asked for what it missed."""

import hashlib
import io
import json
import os
import pathlib
import struct
import time
import zipfile
import zlib

from bad_kit import Ground, all_done, batch, count, metric, part, tell
from stack import eicar, outcomes, until

ALL = "clamav,yara,type,hashes,crashy"


def result_of(report, engine):
    return next(r for r in report["results"] if r["engine"] == engine)


def submit_all(stack, files, **more):
    """name -> receipt"""
    body = b"".join(part(i, data, name, **more) for i, (name, data) in enumerate(files.items()))
    lines = batch(stack, body).lines
    assert len(lines) == len(files) and not any("problem" in line for line in lines), lines
    return dict(zip(files, lines))


def reports_of(stack, receipts, seconds=90):
    return {name: stack.report(line["sha256"], line["scan"], seconds) for name, line in receipts.items()}


def some_neighbours(word, n=12):
    files = {f"{word}-{i}": f"CRASHY malicious Neighbour.{i}\n{word}\n".encode() for i in range(n // 2)}
    files.update({f"{word}-plain-{i}": f"plain {word} {i}\n".encode() for i in range(n // 2)})
    return files


def check_neighbours(reports):
    for name, report in reports.items():
        want = "undetected" if "plain" in name else "malicious"
        assert outcomes(report) == {"crashy": want, "hashes": "described", "type": "described"}, (name, outcomes(report))


def a_crash_is_a_failure_of_one_sample(stack):
    files = some_neighbours("crash")
    bad = {f"{how} {i}": f"CRASHY {how}\nnumber {i}\n".encode() for how in ("segv", "abort", "exit 3") for i in range(2)}
    reports = reports_of(stack, submit_all(stack, {**bad, **files}, engines=["crashy", "hashes", "type"]))
    for name in bad:
        report = reports.pop(name)
        result = result_of(report, "crashy")
        assert result["outcome"] == "failure" and not result["counted"], result
        assert any(word in result["reason"] for word in ("signal", "SIG", "exit", "status")), result["reason"]
        assert report["scan"]["verdict"] == "inconclusive" and report["scan"]["failed"] == 1, report["scan"]
        assert any("crashy" in reason for reason in report["scan"]["reasons"]), report["scan"]
        assert outcomes(report)["hashes"] == outcomes(report)["type"] == "described", outcomes(report)
    check_neighbours(reports)
    engine = next(e for e in stack.api("GET", "/engines").json["items"] if e["name"] == "crashy")
    assert engine["available"], engine

    path = stack.dir / "segv"
    path.write_bytes(b"CRASHY segv\nby the command line\n")
    done = stack.cli("submit", "--wait", "--engines", "crashy", path, timeout=60)
    assert done.returncode == 2 and "inconclusive" in done.stdout and "crashy" in done.stdout, (done.returncode, done.stdout)
    told = stack.cli("report", path, timeout=60)
    assert "failure" in told.stdout and "crashy" in told.stdout, told.stdout


def orphans():
    found = []
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == "crashy-orphan":
                found.append(int(comm.parent.name))
        except OSError:
            pass
    return found


def a_hang_ends_at_its_deadline(stack):
    """crashy has 2 s; there are two slots, both are held at times; what others sent is served."""
    files = some_neighbours("hang")
    bad = {how: f"CRASHY {how}\n".encode() for how in ("hang", "hang-ignore", "spin")}
    reports = reports_of(stack, submit_all(stack, {**bad, **files}, engines=["crashy", "hashes", "type"]))
    for name in bad:
        report = reports.pop(name)
        result = result_of(report, "crashy")
        assert result["outcome"] == "timeout" and not result["counted"], (name, result)
        assert 1500 <= result["run_ms"] <= 30_000 and result["reason"], (name, result)
        assert report["scan"]["verdict"] == "inconclusive", report["scan"]
        assert any("timeout" in reason for reason in report["scan"]["reasons"]), report["scan"]
        assert result["lost"] == 0, (name, result)
    check_neighbours(reports)


def nothing_survives_an_engine(stack):
    """Whether the walls stop its forks or its deadline does: the report says it, and no grandchild is left."""
    before = orphans()
    report = stack.oneshot(b"CRASHY fork-hang\n", "fork-hang", engines="crashy")
    assert outcomes(report)["crashy"] in ("failure", "timeout") and result_of(report, "crashy")["reason"], report
    until(lambda: set(orphans()) <= set(before), 20, "grandchildren to be gone")


def words_of_an_engine_are_not_trusted(stack):
    bad = {how: f"CRASHY {how}\n".encode() for how in ("flood-traits", "flood-findings", "bad-json", "lie", "alloc", "fill-tmp")}
    reports = reports_of(stack, submit_all(stack, {**bad, **some_neighbours("lie")}, engines=["crashy", "hashes", "type"]))
    for name in bad:
        report = reports.pop(name)
        assert report["scan"]["verdict"] in ("inconclusive", "malicious", "suspicious"), (name, report["scan"])
        result = result_of(report, "crashy")
        assert result["outcome"] in ("incomplete", "failure", "suspicious", "timeout"), (name, result)
        assert result["reason"], (name, result)
        text = json.dumps(report)
        assert len(text) < 2 << 20 and "\\u001b" not in text, (name, len(text))
    check_neighbours(reports)


def crc_of_byte(i):
    for _ in range(8):
        i = (i >> 1) ^ (0xedb88320 if i & 1 else 0)
    return i


def encrypted_zip(name, data, password=b"secret"):
    """As old zip programs encrypt; the standard library only reads it."""
    keys = [0x12345678, 0x23456789, 0x34567890]
    table = [crc_of_byte(i) for i in range(256)]

    def update(byte):
        keys[0] = (keys[0] >> 8) ^ table[(keys[0] ^ byte) & 0xff]
        keys[1] = ((keys[1] + (keys[0] & 0xff)) * 134775813 + 1) & 0xffffffff
        keys[2] = (keys[2] >> 8) ^ table[(keys[2] ^ (keys[1] >> 24)) & 0xff]
    for byte in password:
        update(byte)
    crc, out = zlib.crc32(data), bytearray()
    for byte in bytes(11) + bytes([crc >> 24]) + data:
        k = (keys[2] | 2) & 0xffff
        out.append(byte ^ ((k * (k ^ 1)) >> 8) & 0xff)
        update(byte)
    return stored_zip(name, bytes(out), crc, len(data))


def stored_zip(name, body, crc, size):
    common = struct.pack("<HHHHHIIIHH", 20, 1, 0, 0, 0x5a21, crc, len(body), size, len(name), 0)
    local = b"PK\3\4" + common + name.encode() + body
    central = b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name.encode()
    return local + central + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def zipped(data, method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        z.writestr("part", data)
    return out.getvalue()


def as_zip64(archive):
    """The sizes of its first part, in the header in front of it, are said to be elsewhere."""
    return archive[:18] + b"\xff" * 8 + archive[26:]


def what_clamav_does_not_look_through_is_incomplete(stack):
    locked = encrypted_zip("inside.txt", b"what is in here?" * 100)
    with zipfile.ZipFile(io.BytesIO(locked)) as z:
        assert z.read("inside.txt", b"secret") == b"what is in here?" * 100
    wide = io.BytesIO()
    with zipfile.ZipFile(wide, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("wide", os.urandom(1000) * 5000)  # 5 MB; the worker's limits are below
    nested = b"the heart"
    for i in range(20):
        shell = io.BytesIO()
        with zipfile.ZipFile(shell, "w") as z:
            z.writestr(f"{i}.zip", nested)
        nested = shell.getvalue()
    files = {"locked.zip": locked, "wide.zip": wide.getvalue(), "nested.zip": nested, "long": b"l" * (7 << 20)}
    # What libclamav passes over without a word: parts that are too new for it, or that it cuts at its limit.
    files["cut.zip"] = zipped(bytes(8 << 20), zipfile.ZIP_DEFLATED)
    files["lzma.zip"] = zipped(eicar(), zipfile.ZIP_LZMA)
    files["zip64.zip"] = as_zip64(zipped(eicar(), zipfile.ZIP_DEFLATED))
    files["zip64 inside.zip"] = zipped(files["zip64.zip"], zipfile.ZIP_DEFLATED)
    reports = reports_of(stack, submit_all(stack, files, engines=["clamav", "type"]))
    for name, report in reports.items():
        result = result_of(report, "clamav")
        assert result["outcome"] == "incomplete" and not result["counted"], (name, result)
        assert result["reason"] or result["label"], (name, result)
        assert report["scan"]["verdict"] == "inconclusive" and report["scan"]["incomplete"] == 1, (name, report["scan"])
        assert any("clamav: incomplete" in reason for reason in report["scan"]["reasons"]), (name, report["scan"])
    assert "ncrypt" in str(result_of(reports["locked.zip"], "clamav")), reports["locked.zip"]
    assert count(stack, "poison", "engine_id = (select id from engine where name = 'clamav')") == 0

    # Something found in a file that was not looked through: the finding wins.
    eicar_zip = io.BytesIO()
    with zipfile.ZipFile(eicar_zip, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a", eicar())
        z.writestr("wide", bytes(5 << 20))
    report = stack.oneshot(eicar_zip.getvalue(), "both.zip", engines="clamav")
    assert report["scan"]["verdict"] == "malicious", report["scan"]


def engine(stack, name):
    return next((e for e in stack.api("GET", "/engines").json["items"] if e["name"] == name), None)


MISSED = 5


def an_engine_without_a_worker(stack):
    """This fleet has hashes and type only; the others come later, with a second worker."""
    files = {f"missed-{i}": f"nobody looked at {i}\n".encode() for i in range(MISSED)}
    receipts = submit_all(stack, files, profile="full")
    first = reports_of(stack, receipts)
    for name, report in first.items():
        assert outcomes(report) == {"clamav": "unavailable", "yara": "unavailable", "hashes": "described",
                                    "type": "described"}, (name, outcomes(report))
        scan = report["scan"]
        assert scan["verdict"] == "inconclusive" and scan["total"] == 0 and scan["failed"] == 2, scan
        assert "clamav: unavailable" in scan["reasons"], scan
        assert "worker" in result_of(report, "clamav")["reason"], result_of(report, "clamav")
    told = engine(stack, "clamav")
    assert told and not told["available"] and told["workers"] == 0, told
    shown = stack.cli("engines", timeout=60)
    assert "clamav" in shown.stdout and "no worker" in shown.stdout + shown.stderr, shown.stdout
    path = stack.dir / "missed-0"
    path.write_bytes(files["missed-0"])
    shown = stack.cli("report", path, timeout=60)
    assert "clamav" in shown.stdout and "unavailable" in shown.stdout, shown.stdout

    # By now the grace is over: later ones are answered at once, not each after the grace.
    late = stack.oneshot(b"a later one", "missed-late", profile="full", seconds=60)
    assert outcomes(late)["clamav"] == "unavailable"
    stack.first = first


def it_comes_and_is_asked_for_what_it_missed(stack):
    stack.start("worker2")
    stack.wait_engines(["clamav", "yara", "hashes", "type"])
    for name, old in stack.first.items():
        def filled():
            report = stack.api("GET", f"/samples/{old['sha256']}").json
            ok = report["scan"]["status"] == "done" and report["scan"]["cause"] == "backfill"
            return report if ok and set(outcomes(report).values()) == {"described", "undetected"} else None
        report = until(filled, 120, f"the back-fill of {name}")
        assert outcomes(report) == {"clamav": "undetected", "yara": "undetected", "hashes": "described",
                                    "type": "described"}, outcomes(report)
        assert report["md5"] == old["md5"] and report["type"] == old["type"], report
        assert result_of(report, "clamav")["required"], report["results"]
        # The first scan still says what was true then.
        was = stack.api("GET", f"/scans/{old['scan']['id']}").json
        assert was["verdict"] == "inconclusive" and outcomes(was) == outcomes(old), was
        assert [s["cause"] for s in report["scans"]][-1] == "submission", report["scans"]
    all_done(stack)
    assert count(stack, "missing") == 0
    # Nothing that was there is run again: one job a missing engine, no more.
    ran = stack.postgres.sql("select count(*) from job j join scan s on s.id = j.id / 256 where s.cause = 3 and not j.cached "
                             "and j.engine_id in (select id from engine where name in ('hashes', 'type'))")
    assert ran == [["0"]], ran
    told = engine(stack, "clamav")
    assert told["available"] and told["missing_since"] is None, told


def workers_with_different_engines_serve_one_scan(stack):
    report = stack.oneshot(eicar() + b"\n", "eicar", profile="full")
    assert report["scan"]["verdict"] == "malicious" and outcomes(report)["clamav"] == "malicious", outcomes(report)
    assert outcomes(report)["hashes"] == outcomes(report)["type"] == "described", outcomes(report)
    by = {r["engine"]: r["worker"] for r in report["results"]}
    assert by["hashes"] == by["type"] != by["clamav"] == by["yara"], by


PIECE = 64 << 10


def a_large_file_crosses_once_to_a_worker(stack):
    """100 MiB in chunks; the worker keeps it in a file, two engines there look at it, it was fetched once."""
    chunk = b"".join(hashlib.sha256(bytes([i, j])).digest() for i in range(256) for j in range(256)) * 4
    total, size = 100 << 20, 0
    new = stack.api("POST", "/uploads", {"name": "large", "size": total, "engines": ["hashes", "type"]})
    sha256, md5 = hashlib.sha256(), hashlib.md5()
    before = metric(stack, "phagescan_scan_chunks_total")
    while size < total:
        data = size.to_bytes(8, "big") + chunk[8:]
        data = data[:total - size]
        answer = stack.api("PATCH", f"/uploads/{new.json['id']}", data, {"Upload-Offset": str(size)})
        assert answer.status == 200, answer.body
        sha256.update(data)
        md5.update(data)
        size += len(data)
    assert answer.json["sha256"] == sha256.hexdigest(), answer.json
    report = stack.report(sha256.hexdigest(), answer.json["scan"], 180)
    assert outcomes(report) == {"hashes": "described", "type": "described"}, report["results"]
    assert report["size"] == total and report["md5"] == md5.hexdigest(), report
    traits = result_of(report, "hashes")["traits"]
    assert sha256.hexdigest() in json.dumps(traits), traits
    sent = metric(stack, "phagescan_scan_chunks_total") - before
    assert total // PIECE <= sent < total // PIECE * 1.5, f"{sent} pieces of a file of {total // PIECE}"
    cached = [p for p in (stack.state / "cache").rglob("*") if p.is_file()] if (stack.state / "cache").exists() else []
    assert not cached, cached


def an_engine_that_leaves_is_missed(stack):
    stack.stop("worker2")
    told = until(lambda: (e := engine(stack, "clamav")) and not e["available"] and e, 30, "clamav to be missed")
    assert told["missing_since"] and told["workers"] == 0 and told["version"], told
    report = stack.oneshot(b"after it has left", "left", profile="full")
    assert outcomes(report)["clamav"] == "unavailable" and report["scan"]["verdict"] == "inconclusive", report["scan"]


def a_new_engine_may_be_named_as_soon_as_it_is_shown(stack):
    """Nobody has offered it before. We look without a pause, and ask at the first sight of it."""
    assert not engine(stack, "crashy") and not count(stack, "engine", "name = 'crashy'")
    stack.engines_of["worker2"] = ["crashy"]
    stack.start("worker2", wait=False)
    end = time.monotonic() + 60
    while not engine(stack, "crashy"):
        assert time.monotonic() < end, "crashy never came"
    report = stack.oneshot(b"CRASHY malicious Seen.At.Once\n", "new", engines="crashy")
    assert outcomes(report) == {"crashy": "malicious"}, report["results"]


limits = ["--set", "clamav.max_filesize=6M", "--set", "clamav.max_scansize=4M", "--set", "clamav.max_recursion=10"]
ground = Ground(engines=ALL.split(","), options={"worker": limits})
fleet = Ground(engines=["hashes", "type"], engines_of={"worker2": ["clamav", "yara"]},
               signatures=None, options={"broker": ["--engine-grace", "2s"]})
tell(*ground.stories(a_crash_is_a_failure_of_one_sample, a_hang_ends_at_its_deadline,
                     nothing_survives_an_engine, words_of_an_engine_are_not_trusted,
                     what_clamav_does_not_look_through_is_incomplete),
     *fleet.stories(an_engine_without_a_worker, it_comes_and_is_asked_for_what_it_missed,
                    workers_with_different_engines_serve_one_scan, a_large_file_crosses_once_to_a_worker,
                    an_engine_that_leaves_is_missed, a_new_engine_may_be_named_as_soon_as_it_is_shown))
