"""The database goes away and comes back; the disk fills up and gets room again. What can't be kept is refused in plain
words, what was acknowledged or was under way is there afterwards, and nobody has to start anything anew."""

import atexit
import ctypes
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

from bad_kit import Ground, all_done, at_once, batch, count, metric, part, problem, tell
from stack import outcomes, until

ENGINES = ["crashy", "hashes", "type"]


def healthz(stack):
    answer = stack.api("GET", "/healthz")
    return answer.status, answer.body.decode()


def database_is_noticed(stack):
    until(lambda: healthz(stack)[0] == 503, 60, "/healthz to notice")
    assert "database" in healthz(stack)[1], healthz(stack)


def the_database_goes_while_jobs_run(stack):
    """Crashed (SIGQUIT) with jobs in the slots and in the queue. The results wait at the worker and are taken later."""
    slow = {f"slow {i}": f"CRASHY slow 1500\nnumber {i}\n".encode() for i in range(6)}
    lines = batch(stack, b"".join(part(i, data, name, engines=ENGINES) for i, (name, data) in enumerate(slow.items()))).lines
    assert not any("problem" in line for line in lines), lines
    until(lambda: metric(stack, "phagescan_worker_running") > 0, 30, "a running job")
    before = count(stack, "submission")
    stack.postgres.stop(signal.SIGQUIT)
    database_is_noticed(stack)

    for answer in (stack.api("POST", "/submissions?name=x", b"while it is away"),
                   batch(stack, part(1, b"while it is away too"), "away-1"),
                   stack.api("POST", "/uploads", {"name": "x", "size": 10}),
                   stack.api("GET", "/submissions"), stack.api("GET", "/samples/" + "0" * 64)):
        told = problem(answer, 503, "database")
        assert answer.headers["retry-after"], told
    status = stack.api("GET", "/status")
    assert status.status == 200 and status.json["database"]["ok"] is False and status.json["database"]["detail"], status.body
    assert stack.api("GET", "/metrics").status == 200

    path = stack.dir / "patience"
    path.write_bytes(b"CRASHY malicious Patient\n")
    done = stack.cli("submit", "--wait", "--patience", "2s", path, timeout=60)
    assert done.returncode == 2 and "database" in done.stderr, (done.returncode, done.stdout, done.stderr)
    patient = stack.cli_start("submit", "--wait", "--json", "--engines", "crashy", "--patience", "4m", path)
    stack.patient = patient
    status = stack.cli("status", timeout=60)
    assert status.returncode != 0 or "database" in status.stdout + status.stderr, status.stdout

    # What ran meanwhile is done, and waits for its transaction.
    until(lambda: metric(stack, "phagescan_worker_running") == 0, 60, "the running jobs' end")
    stack.postgres.start()
    until(lambda: healthz(stack)[0] == 200, 60, "/healthz to be well")
    all_done(stack)
    _, out, err = stack.cli_end(patient, 120)
    assert patient.returncode == 1 and json.loads(out)["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest(), (out, err)
    assert count(stack, "submission") == before + 1, "refused ones were stored, or acknowledged ones were lost"
    assert count(stack, "job", "lost > 0") == 0, "a job was lost and run twice"
    for line, data in zip(lines, slow.values()):
        report = stack.report(line["sha256"], line["scan"])
        assert outcomes(report) == {"crashy": "undetected", "hashes": "described", "type": "described"}, outcomes(report)
    # The key of the refused batch is free: nothing of it was kept.
    again = batch(stack, part(1, b"while it is away too"), "away-1")
    assert again.status == 200 and again.headers["idempotency-replayed"] is None and not again.lines[0]["known"], again.body


def the_database_restarts_again_and_again(stack):
    """Sent all the while: whatever is acknowledged is there."""
    acknowledged, refused, end = [], [], threading.Event()

    def send(i):
        n = 0
        while not end.is_set():
            data = f"sender {i} number {n}".encode()
            answer = batch(stack, part(n, data, f"again-{i}-{n}", engines=ENGINES), f"again-{i}-{n}")
            if answer.status == 200:
                acknowledged.append(answer.lines[0]["sha256"])
                assert answer.lines[0]["sha256"] == hashlib.sha256(data).hexdigest()
                n += 1
            else:
                assert answer.status == 503 and answer.json["detail"], (answer.status, answer.body)
                refused.append(n)

    def disturb():
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGINT):
            seen = len(acknowledged)
            until(lambda: len(acknowledged) >= seen + 20, 60, "some more to be acknowledged")
            stack.postgres.stop(how)
            stack.postgres.start()
        seen = len(acknowledged)
        until(lambda: len(acknowledged) >= seen + 20, 60, "it to go on")

    def one(i):
        try:
            return disturb() if i == 0 else send(i)
        finally:
            end.set()
    at_once(3, one)
    all_done(stack)
    kept = {row[0] for row in stack.postgres.sql("select encode(p.sha256, 'hex') from submission s join sample p on p.id = "
                                                 "s.sample_id where s.name like 'again-%'")}
    assert set(acknowledged) == kept and count(stack, "submission", "name like 'again-%'") == len(acknowledged), len(kept)


# ---- a disk that fills up ----

MEGA = 1 << 20
DISK = 40 * MEGA


def small_disk():
    """A tmpfs of our own, in a mount namespace that goes with this process. None without the right to make one."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() != 0 or libc.unshare(0x00020000) != 0:
        return None
    directory = pathlib.Path(tempfile.mkdtemp(prefix="phagescan-disk."))
    atexit.register(shutil.rmtree, directory, True)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "phagescan-test", directory], check=False)
    if done.returncode != 0:
        return None
    atexit.register(subprocess.run, ["umount", "-l", directory], check=False)
    return directory


def fill(disk, leave):
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with open(disk / "ballast", "wb") as f:
        left = free - leave
        while left > 0:
            left -= f.write(b"b" * min(left, MEGA))


def files_below(store):
    return sorted(p.relative_to(store) for p in store.rglob("*") if p.is_file())


def the_disk_is_full(stack):
    store = stack.disk / "store"
    known = stack.oneshot(b"was there before", "before", engines="hashes")
    new = stack.api("POST", "/uploads", {"name": "in pieces", "size": 3 * MEGA, "engines": ["hashes"]})
    stack.upload = new.json["id"]
    data = os.urandom(3 * MEGA)
    stack.upload_data = data
    assert stack.api("PATCH", f"/uploads/{stack.upload}", data[:MEGA], {"Upload-Offset": "0"}).json["offset"] == MEGA
    fill(stack.disk, MEGA)
    before, rows = files_below(store), count(stack, "sample")

    for answer in (stack.api("POST", "/submissions?name=x", b"x" * 2 * MEGA),
                   batch(stack, part(1, b"y" * MEGA) + part(2, b"z" * MEGA), "full-1"),
                   stack.api("POST", "/uploads", {"name": "x", "size": 5 * MEGA}),
                   stack.api("PATCH", f"/uploads/{stack.upload}", data[MEGA:], {"Upload-Offset": str(MEGA)})):
        told = problem(answer, 507, "free", code="no-space")
        assert answer.headers["retry-after"], told
    assert files_below(store) == before and count(stack, "sample") == rows, "something is half there"
    assert stack.api("HEAD", f"/uploads/{stack.upload}").headers["upload-offset"] == str(MEGA)

    # A body that does not even fit while it arrives: an answer or the end of that connection, never of the master.
    big = None
    try:
        big = stack.api("POST", "/submissions?name=x", b"w" * (DISK - MEGA), timeout=30)
    except OSError:
        pass
    assert big is None or big.status in (413, 503, 507), (big.status, big.body)
    assert stack.processes["master"].poll() is None, "the master is gone"

    # What needs no room goes on: reading, and a sample that is there already.
    assert stack.api("GET", f"/samples/{known['sha256']}").json["scan"]["verdict"] == known["scan"]["verdict"]
    again = stack.oneshot(b"was there before", "once-more", engines="hashes")
    assert again["submissions"] == 2, again

    path = stack.dir / "large"
    path.write_bytes(b"by the command line" * 100_000)
    done = stack.cli("submit", "--wait", "--patience", "2s", path, timeout=60)
    assert done.returncode == 2 and ("free" in done.stderr or "space" in done.stderr), (done.returncode, done.stderr)
    stack.patient = stack.cli_start("submit", "--wait", "--json", "--engines", "hashes", "--patience", "4m", path)
    assert files_below(store) == before and count(stack, "sample") == rows, "something is half there"


def there_is_room_again(stack):
    (stack.disk / "ballast").unlink()
    report = stack.oneshot(b"x" * 2 * MEGA, "x", engines="hashes")
    assert outcomes(report) == {"hashes": "described"}
    again = batch(stack, part(1, b"y" * MEGA) + part(2, b"z" * MEGA), "full-1")
    assert again.status == 200 and again.headers["idempotency-replayed"] is None, again.body
    end = stack.api("PATCH", f"/uploads/{stack.upload}", stack.upload_data[MEGA:], {"Upload-Offset": str(MEGA)})
    assert end.status == 200 and end.json["sha256"] == hashlib.sha256(stack.upload_data).hexdigest(), end.body
    _, out, err = stack.cli_end(stack.patient, 120)
    assert stack.patient.returncode in (0, 2) and json.loads(out)["sha256"], (out, err)
    all_done(stack)


def there_are_no_more_files_to_be_had(stack):
    """Bytes are free, inodes are not: that is found out in the middle of a group."""
    store = stack.disk / "store"
    rows = count(stack, "sample")
    used = os.statvfs(stack.disk).f_files - os.statvfs(stack.disk).f_ffree
    subprocess.run(["mount", "-o", f"remount,size={DISK},nr_inodes={used + 4}", stack.disk], check=True)
    files = b"".join(part(i, b"inode %d" % i, f"inode-{i}", engines=["hashes"]) for i in range(50))
    problem(batch(stack, files, "inodes"), 507, code="no-space")
    assert count(stack, "sample") == rows and count(stack, "submission", "name like 'inode-%'") == 0
    until(lambda: not [p for p in files_below(store) if "tmp" in p.parts[0]], 10, "temporaries to go")

    subprocess.run(["mount", "-o", f"remount,size={DISK},nr_inodes=100000", stack.disk], check=True)
    again = batch(stack, files, "inodes")
    assert again.status == 200 and not any("problem" in line for line in again.lines), again.body
    all_done(stack)
    left = [p for p in files_below(store) if len(p.name) >= 60]
    assert len(left) == count(stack, "sample"), (len(left), count(stack, "sample"))


stories = Ground(engines=ENGINES).stories(the_database_goes_while_jobs_run, the_database_restarts_again_and_again)
disk = small_disk()
if disk:
    full = Ground(engines=ENGINES, options={"master": ["--store", str(disk / "store")]})
    full.attributes["disk"] = disk
    stories += full.stories(the_disk_is_full, there_is_room_again, there_are_no_more_files_to_be_had)
else:
    print("left out: a full disk needs root and the right to mount", flush=True)
tell(*stories)
