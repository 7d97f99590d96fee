"""Broker, worker and master are killed, stopped and continued: every acknowledged job is done exactly once, and a queue
that a broker forgot, or a master that drives it, comes back from the database."""

import contextlib
import threading

from bad_kit import Ground, all_done, batch, count, metric, part, stopped, tell
from stack import LONG, outcomes, until

ENGINES = ["crashy", "hashes", "type"]
STOPPED_S = 60 if LONG else 8  # a peer counts as dead after 5 s


def send(stack, files, engines=ENGINES):
    lines = batch(stack, b"".join(part(i, data, name, engines=engines) for i, (name, data) in enumerate(files.items()))).lines
    assert len(lines) == len(files) and not any("problem" in line for line in lines), lines
    return dict(zip(files, lines))


def check_once(stack, receipts, results_before):
    """Verdicts are as the files say, and each job was made final once."""
    all_done(stack, 180)
    for name, line in receipts.items():
        report = stack.report(line["sha256"], line["scan"])
        want = "malicious" if name.startswith("bad") else "undetected"
        assert outcomes(report).get("crashy", want) == want, (name, report["results"])
        assert set(outcomes(report).values()) <= {want, "described"}, (name, outcomes(report))
    jobs = sum(len(stack.api("GET", f"/scans/{line['scan']}").json["results"]) for line in receipts.values())
    if results_before is not None:
        until(lambda: metric(stack, "phagescan_scan_results_total") - results_before >= jobs, 20, "the counter")
        assert metric(stack, "phagescan_scan_results_total") - results_before == jobs, "a job was made final twice"


def running(stack, name="worker"):
    """Jobs that run at this worker, as its last heartbeat said: a number that is a second or two old."""
    pid = stack.processes[name].pid
    return sum(w["running"] for w in stack.api("GET", "/workers").json["items"] if w["name"].endswith(f":{pid}"))


def some(word, n=8, ms=1600):
    files = {f"slow {word} {i}": f"CRASHY slow {ms}\n{word} {i}\n".encode() for i in range(n)}
    files.update({f"bad {word} {i}": f"CRASHY malicious Bad.{i}\n{word}\n".encode() for i in range(n)})
    return files


def a_broker_is_restarted(stack):
    """Killed with leases out, then as an operator does: the running work is adopted, not run again."""
    before = metric(stack, "phagescan_scan_results_total")
    receipts = send(stack, some("broker"))
    until(lambda: running(stack) > 0, 30, "a running job")
    stack.kill("broker")
    until(lambda: stack.api("GET", "/healthz").status == 503, 30, "/healthz to notice")
    assert b"broker" in stack.api("GET", "/healthz").body
    assert stack.api("GET", "/status").json["broker"]["ok"] is False
    late = send(stack, {"bad while it is away": b"CRASHY malicious Away\n"})
    stack.start("broker")
    until(lambda: stack.api("GET", "/healthz").status == 200, 60, "/healthz to be well")
    stack.stop("broker")
    stack.start("broker")
    check_once(stack, {**receipts, **late}, before)
    assert count(stack, "job", "lost > 0") == 0, "a restart of the broker is no worker's fault"


def a_worker_is_killed(stack):
    before = metric(stack, "phagescan_scan_results_total")
    receipts = send(stack, some("worker"))
    until(lambda: running(stack) > 0, 30, "a running job")
    stack.kill("worker")
    stack.start("worker")
    check_once(stack, receipts, before)


def a_worker_is_stopped_and_continued(stack):
    """Its session alone, with a second worker there: the jobs go over, what comes late is dropped."""
    stack.start("worker2")
    try:
        until(lambda: metric(stack, "phagescan_workers") == 2, 30, "two workers")
        before = metric(stack, "phagescan_scan_results_total")
        receipts = send(stack, some("stopped", n=14))
        until(lambda: running(stack) > 0, 30, "a running job")
        with stopped(stack.processes["worker"].pid):
            until(lambda: metric(stack, "phagescan_workers") == 1, 30, "the broker to notice")
            all_done(stack, 120)
        until(lambda: metric(stack, "phagescan_workers") == 2, 30, "the worker to be back")
        check_once(stack, receipts, before)
    finally:
        stack.stop("worker2")
    until(lambda: metric(stack, "phagescan_workers") == 1, 30, "one worker")


def the_only_worker_is_stopped_and_continued(stack):
    """All of it, engines included, for longer than a heart may be silent: it goes on where it was."""
    before = metric(stack, "phagescan_scan_results_total")
    receipts = send(stack, some("alone", n=4))
    until(lambda: running(stack) > 0, 30, "a running job")
    with contextlib.ExitStack() as all_of_it:
        for pid in [stack.processes["worker"].pid, *stack.children("worker")]:
            all_of_it.enter_context(stopped(pid))
        threading.Event().wait(STOPPED_S)  # the length is the point
    all_done(stack, 120)
    for name, line in receipts.items():
        report = stack.report(line["sha256"], line["scan"])
        got = outcomes(report)["crashy"]
        # A job whose run time went by while it stood still may say so; it is never a clean one that nobody looked at.
        assert got in (("malicious",) if name.startswith("bad") else ("undetected", "timeout")), (name, report["results"])
    jobs = 3 * len(receipts)
    assert metric(stack, "phagescan_scan_results_total") - before == jobs, "a job was made final twice"


QUEUED = 170  # files of three engines: over 500 jobs


def five_hundred_jobs_and_no_master(stack):
    """The queue is in the broker, the master that put it there is killed; the next one drives it to its end."""
    stack.stop("worker")
    receipts = send(stack, {f"bad queued {i}": f"CRASHY malicious Queued.{i}\n".encode() for i in range(QUEUED)})
    until(lambda: metric(stack, "phagescan_broker_jobs") >= 3 * QUEUED, 60, "the jobs to be in the broker")
    stack.kill("master")
    stack.start("master")
    assert count(stack, "job", "final is null") == 3 * QUEUED
    stack.start("worker")
    all_done(stack, 180)
    assert metric(stack, "phagescan_scan_results_total") == 3 * QUEUED
    sample = stack.postgres.sql("select count(*), count(distinct id) from job where outcome is not null")[0]
    assert sample[0] == sample[1], sample
    wrong = count(stack, "scan c join submission s on s.scan_id = c.id",
                  "s.name like 'bad queued %' and c.label not like 'Queued.%'")
    assert wrong == 0 and len({line["scan"] for line in receipts.values()}) == QUEUED


ground = Ground(engines=ENGINES, options={"broker": ["--engine-grace", "2m"]})
tell(*ground.stories(a_broker_is_restarted, a_worker_is_killed, a_worker_is_stopped_and_continued,
                     the_only_worker_is_stopped_and_continued, five_hundred_jobs_and_no_master))
