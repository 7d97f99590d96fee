"""SIGSTOP of broker, worker and master for 2, 5 and (in the long form) 60 s, each with jobs under way: below, at and far above
the time after which a silent peer counts as dead. Nothing is lost, no job is made final twice, and an engine with a limit
never runs more often at once than that, whoever was taken for dead meanwhile."""

import contextlib
import threading

from bad_kit import Ground, Licence, all_done, batch, metric, part, stopped, tell
from stack import LONG, outcomes, until

ENGINES = ["crashy", "hashes", "type"]
LENGTHS_S = (2, 5, 60) if LONG else (2, 5)
LIMIT = 1  # runs of crashy at once, on a worker with two slots
RUN_MS = 1200
FILES = 6  # of each kind


def send(stack, word):
    files = {f"slow {i}": f"CRASHY slow {RUN_MS}\n{word} {i}\n".encode() for i in range(FILES)}
    files.update({f"bad {i}": f"CRASHY malicious Bad.{i}\n{word}\n".encode() for i in range(FILES)})
    body = b"".join(part(i, data, name, engines=ENGINES) for i, (name, data) in enumerate(files.items()))
    lines = batch(stack, body).lines
    assert len(lines) == len(files) and not any("problem" in line for line in lines), lines
    return dict(zip(files, lines))


def check(stack, receipts, results_before, run_may_end):
    """Each file has its verdict, each job was made final once. A run that stood still itself (run_may_end) may have used up
    its time: then it says so, it is never a file that nobody looked at."""
    all_done(stack, 240)
    for name, line in receipts.items():
        found = outcomes(stack.report(line["sha256"], line["scan"]))
        slow_too = ("undetected", "timeout") if run_may_end else ("undetected",)
        assert found["crashy"] in (("malicious",) if name.startswith("bad") else slow_too), (name, found)
        assert set(found) == set(ENGINES), (name, found)
    jobs = len(ENGINES) * len(receipts)
    until(lambda: metric(stack, "phagescan_scan_results_total") - results_before >= jobs, 20, "the counter")
    made = metric(stack, "phagescan_scan_results_total") - results_before
    assert made == jobs, f"{made} results were made final for {jobs} jobs"


def stop_for(stack, word, pids, seconds, run_may_end=False):
    before = metric(stack, "phagescan_scan_results_total")
    with Licence(stack) as licence:
        receipts = send(stack, f"{word} {seconds}")
        until(licence.look, 60, "a running job")
        with contextlib.ExitStack() as all_of_it:
            for pid in pids():
                all_of_it.enter_context(stopped(pid))
            threading.Event().wait(seconds)  # the length is the point
        check(stack, receipts, before, run_may_end)
    assert licence.seen and licence.most <= LIMIT, f"{licence.most} runs at once of an engine that may have {LIMIT}"
    print(f"     {word} for {seconds} s: {licence.looks} looks, at most {licence.most} at once", flush=True)


def of(name):
    return lambda stack: [stack.processes[name].pid]


def whole_worker(stack):
    return [stack.processes["worker"].pid, *stack.children("worker")]


def story(word, pids_of, seconds, run_may_end=False):
    def told(stack):
        stop_for(stack, word, lambda: pids_of(stack), seconds, run_may_end)
    told.__name__ = f"{word.replace(' ', '_')}_stands_still_for_{seconds}_s"
    return told


stories = []
for length_s in LENGTHS_S:
    stories += [
        story("the broker", of("broker"), length_s),
        story("the master", of("master"), length_s),
        # Its session alone: the engines go on, and what they found is told late.
        story("the worker", of("worker"), length_s),
        story("the whole worker", whole_worker, length_s, run_may_end=True),
    ]

# The hold after the start is for leases of a life before: this broker has none.
ground = Ground(engines=ENGINES, options={"broker": ["--engine-grace", "5m", "--limit", f"crashy={LIMIT}", "--limit-hold", "0"]})
tell(*ground.stories(*stories))
