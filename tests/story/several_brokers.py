"""Two brokers with a worker each. Jobs are shared out between them; one is killed with jobs under way and its jobs move once
its old leases must have passed; one that is away for less than that goes on where it was. All verdicts come, no job is made
final twice, and an engine with a limit never runs more often at once than that, although both brokers have workers for it."""

import threading

from bad_kit import Ground, Licence, all_done, batch, metric, part, stopped, tell
from stack import LONG, outcomes, until

ENGINES = ["crashy", "hashes", "type"]
LIMIT = 1
RUN_MS = 900
FILES = 12  # of each kind
DEAD = ["--dead", "1s", "--beat", "200ms"]  # so that leases pass in 3 x 1 + the longest run + 10 s
LONGEST_RUN_S = 60 if LONG else 2  # what is built in, and what crashy has
PASSED_S = LONGEST_RUN_S + 40


def send(stack, word, slow=FILES):
    files = {f"slow {i}": f"CRASHY slow {RUN_MS}\n{word} {i}\n".encode() for i in range(slow)}
    files.update({f"bad {i}": f"CRASHY malicious Bad.{i}\n{word}\n".encode() for i in range(FILES)})
    body = b"".join(part(i, data, name, engines=ENGINES) for i, (name, data) in enumerate(files.items()))
    lines = batch(stack, body).lines
    assert len(lines) == len(files) and not any("problem" in line for line in lines), lines
    return dict(zip(files, lines))


def check(stack, receipts, results_before, seconds=240):
    all_done(stack, seconds)
    for name, line in receipts.items():
        found = outcomes(stack.report(line["sha256"], line["scan"]))
        assert found["crashy"] == ("malicious" if name.startswith("bad") else "undetected"), (name, found)
        assert set(found) == set(ENGINES), (name, found)
    jobs = len(ENGINES) * len(receipts)
    until(lambda: metric(stack, "phagescan_scan_results_total") - results_before >= jobs, 20, "the counter")
    made = metric(stack, "phagescan_scan_results_total") - results_before
    assert made == jobs, f"{made} results were made final for {jobs} jobs"


def done_by(stack):
    """Jobs done in each worker's session, by its broker's place in the list."""
    return {w["broker"]: w["done"] for w in stack.api("GET", "/workers").json["items"]}


def both_work(stack):
    """Also the engine with a limit, once what a master before may have given away has passed."""
    told = stack.api("GET", "/status").json["brokers"]
    assert len(told) == 2 and all(b["ok"] for b in told), told
    before = metric(stack, "phagescan_scan_results_total")
    with Licence(stack) as licence:
        receipts = send(stack, "both")
        check(stack, receipts, before)
    assert licence.seen and licence.most <= LIMIT, licence.most
    done = done_by(stack)
    assert len(done) == 2 and all(done.values()), done


def one_stands_still(stack):
    """Too short for its jobs to move: they wait for it."""
    before = metric(stack, "phagescan_scan_results_total")
    with Licence(stack) as licence:
        receipts = send(stack, "still")
        until(licence.look, 60, "a running job")
        with stopped(stack.processes["broker2"].pid):
            until(lambda: [b["ok"] for b in stack.api("GET", "/status").json["brokers"]] == [True, False], 30, "the master to notice")
            threading.Event().wait(3)  # the length is the point
        check(stack, receipts, before)
    assert licence.most <= LIMIT, licence.most


def one_is_killed(stack):
    """Whichever has the engine with the limit: the other one gets it, but not before its last run must have ended."""
    before = metric(stack, "phagescan_scan_results_total")
    with Licence(stack) as licence:
        receipts = send(stack, "killed")
        home = until(lambda: next((n for n in ("worker", "worker2") if licence.look((n,))), None), 120, "a running job")
        stack.kill("broker" if home == "worker" else "broker2")
        assert stack.api("GET", "/healthz").status == 200, "one broker is enough"
        check(stack, receipts, before, 60 + PASSED_S)
        # It comes back, and has new samples to do.
        stack.start("broker" if home == "worker" else "broker2")
        until(lambda: len(done_by(stack)) == 2, 60, "both workers")
        receipts.update({f"{name} again": line for name, line in send(stack, "again").items()})
        check(stack, receipts, before)
        assert all(done_by(stack).values()), done_by(stack)
    assert licence.most <= LIMIT, licence.most


# The hold after the start is for leases of a life before. The second broker counts for itself: the master gives it none.
limits = ["--engine-grace", "10m", "--limit", f"crashy={LIMIT}", "--limit-hold", "0", *DEAD]
ground = Ground(engines=ENGINES, start=("broker", "broker2", "master", "worker", "worker2"), slots=2,
                options={"broker": limits, "broker2": limits, "master": ["--longest-run", f"{LONGEST_RUN_S}s"]})
tell(*ground.stories(both_work, one_stands_still, one_is_killed))
