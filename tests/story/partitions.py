"""The network between master and broker, and between a worker and the broker, is cut and heals: each is in a network
namespace of its own, and a cable (veth) with one end down loses everything in silence, as a switch without power does.
Nothing is lost, no job is made final twice, and an engine with a limit never runs more often at once than that: a worker
that is cut off goes on with what it began, and the broker can't know.

Needs root and namespaces; without them it says so and is skipped."""

import contextlib
import threading

from bad_kit import Ground, Licence, all_done, batch, count, metric, part, tell
from net_kit import PORT, Cable, Places, or_skip
from stack import LONG, outcomes, until

ENGINES = ["crashy", "hashes", "type"]
LIMIT = 1
RUN_MS = 1700  # longer than silence is borne, within crashy's run time of 2 s
DEAD_MS = 1000
CUT_S = 60 if LONG else 6
FILES = 5  # of each kind


class Net(Places):
    """The broker in one place, each worker in another; the master, the database and we in a third."""

    def __init__(self):
        super().__init__()
        broker, worker, worker2 = (self.hold() for _ in range(3))
        self.cables = {"master": Cable(1, None, broker), "worker": Cable(2, worker, broker), "worker2": Cable(3, worker2, broker)}
        self.within = {"broker": Cable.within(broker), "worker": Cable.within(worker), "worker2": Cable.within(worker2)}

    def options(self):
        at = {name: ["--broker", f"tcp://{cable.address}:{PORT}", "--insecure-tcp"] for name, cable in self.cables.items()}
        # Jobs wait for the worker that was cut off; nobody else is to blame. The hold is for a life before: there is none.
        at["broker"] = ["--listen-tcp", f"*:{PORT}", "--insecure-tcp", "--engine-grace", "10m", "--limit", f"crashy={LIMIT}",
                        "--limit-hold", "0", "--dead", f"{DEAD_MS}ms", "--beat", "200ms"]
        return at


def send(stack, word):
    files = {f"slow {i}": f"CRASHY slow {RUN_MS}\n{word} {i}\n".encode() for i in range(FILES)}
    files.update({f"bad {i}": f"CRASHY malicious Bad.{i}\n{word}\n".encode() for i in range(FILES)})
    body = b"".join(part(i, data, name, engines=ENGINES) for i, (name, data) in enumerate(files.items()))
    lines = batch(stack, body).lines
    assert len(lines) == len(files) and not any("problem" in line for line in lines), lines
    return dict(zip(files, lines))


def check(stack, receipts, results_before):
    all_done(stack, 240)
    for name, line in receipts.items():
        found = outcomes(stack.report(line["sha256"], line["scan"]))
        assert found["crashy"] == ("malicious" if name.startswith("bad") else "undetected"), (name, found)
        assert set(found) == set(ENGINES), (name, found)
    jobs = len(ENGINES) * len(receipts)
    until(lambda: metric(stack, "phagescan_scan_results_total") - results_before >= jobs, 20, "the counter")
    made = metric(stack, "phagescan_scan_results_total") - results_before
    assert made == jobs, f"{made} results were made final for {jobs} jobs"


@contextlib.contextmanager
def licensed(stack):
    with Licence(stack) as licence:
        yield licence
    assert licence.seen and licence.most <= LIMIT, f"{licence.most} runs at once of an engine that may have {LIMIT}"
    print(f"     {licence.looks} looks, at most {licence.most} at once", flush=True)


def runs_at(licence):
    """The worker that runs the engine with a limit, once there is one."""
    def there():
        return next((name for name in ("worker", "worker2") if licence.look((name,))), None)
    return until(there, 60, "a running job")


def workers_are(stack, number):
    until(lambda: metric(stack, "phagescan_workers") == number, 60, f"{number} workers")


def master_and_broker_are_parted(stack):
    """What runs ends and is told later; what comes meanwhile is taken, and waits."""
    before = metric(stack, "phagescan_scan_results_total")
    with licensed(stack) as licence:
        receipts = send(stack, "parted master")
        runs_at(licence)
        with stack.net.cables["master"].cut():
            until(lambda: stack.api("GET", "/healthz").status == 503, 30, "/healthz to notice")
            late = send(stack, "while parted")
            threading.Event().wait(CUT_S)  # the length is the point
            assert count(stack, "scan", "finished_at is null") >= len(late), "a verdict came through a cut cable"
        until(lambda: stack.api("GET", "/healthz").status == 200, 60, "/healthz to be well")
        check(stack, {**receipts, **{f"{name} late": line for name, line in late.items()}}, before)


def worker_and_broker_are_parted(stack):
    """For as long as it takes the other worker to do all of it, the job of the one that is cut off included."""
    before = metric(stack, "phagescan_scan_results_total")
    with licensed(stack) as licence:
        receipts = send(stack, "parted worker")
        with stack.net.cables[runs_at(licence)].cut():
            workers_are(stack, 1)
            check(stack, receipts, before)
        workers_are(stack, 2)
        # What the lost one has to tell is late: it changes nothing.
        receipts.update({f"{name} after": line for name, line in send(stack, "healed worker").items()})
        check(stack, receipts, before)


def worker_and_broker_are_parted_for_a_moment(stack):
    """Longer than silence is borne, shorter than what it runs may last: it comes back with what it has."""
    before = metric(stack, "phagescan_scan_results_total")
    with licensed(stack) as licence:
        receipts = send(stack, "a moment")
        with stack.net.cables[runs_at(licence)].cut():
            workers_are(stack, 1)
        workers_are(stack, 2)
        check(stack, receipts, before)


or_skip()
net = Net()
try:
    ground = Ground(engines=ENGINES, options=net.options(), within=net.within, start=("broker", "master", "worker", "worker2"))
    ground.attributes["net"] = net
    tell(*ground.stories(master_and_broker_are_parted, worker_and_broker_are_parted, worker_and_broker_are_parted_for_a_moment))
finally:
    net.end()
