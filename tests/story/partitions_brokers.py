"""Two brokers, and the network between one of them and the master, or one of them and a worker, is cut and heals: each program
is in a network namespace of its own (see partitions.py). Nothing is lost, no job is made final twice, and an engine with a
limit never runs more often at once than that, although both brokers have workers for it, also when it moves to the other one
because nobody knows what became of the first.

That takes three times the time after which a peer is dead, the longest run, 10 s, and a second a MiB of the largest sample: with
a short longest run here, with the one that is built in in the long form. Needs root and namespaces; else it is skipped."""

import contextlib
import threading
import time

from bad_kit import Ground, Licence, all_done, batch, count, metric, part, tell
from net_kit import PORT, Cable, Places, or_skip
from stack import LONG, outcomes, until

ENGINES = ["crashy", "hashes", "type"]
LIMIT = 1
RUN_MS = 1700  # longer than silence is borne, within crashy's run time of 2 s
DEAD_MS = 1000
LONGEST_RUN_S = 60 if LONG else 2
MOVES_S = 3 * DEAD_MS / 1000 + LONGEST_RUN_S + 10
MOMENT_S = 30 if LONG else 4  # much shorter than that
FILES = 3  # of each kind
WORKERS = {"a": ["worker"], "b": ["worker2"]}  # by the broker that they work for; worker3 joins one of them


class Net(Places):
    """Each broker and each worker in a place of its own; the master, the database and we in another."""

    def __init__(self):
        super().__init__()
        a, b, worker, worker2, worker3 = (self.hold() for _ in range(5))
        self.cables = {"master a": Cable(1, None, a), "master b": Cable(2, None, b),
                       "worker": Cable(3, worker, a), "worker2": Cable(4, worker2, b),
                       "worker3 a": Cable(5, worker3, a), "worker3 b": Cable(6, worker3, b)}
        self.within = {name: Cable.within(where) for name, where in
                       (("broker", a), ("broker2", b), ("worker", worker), ("worker2", worker2), ("worker3", worker3))}

    def to(self, *cables):
        each = (["--broker", f"tcp://{self.cables[cable].address}:{PORT}"] for cable in cables)
        return [*sum(each, []), "--insecure-tcp"]

    def options(self):
        # Jobs wait for the worker that was cut off; nobody else is to blame. The hold is for a life before: there is none.
        broker = ["--listen-tcp", f"*:{PORT}", "--insecure-tcp", "--engine-grace", "10m", "--limit", f"crashy={LIMIT}",
                  "--limit-hold", "0", "--dead", f"{DEAD_MS}ms", "--beat", "200ms"]
        return {"broker": broker, "broker2": broker, "worker": self.to("worker"), "worker2": self.to("worker2"),
                "master": [*self.to("master a", "master b"), "--longest-run", f"{LONGEST_RUN_S}s"]}


def send(stack, word, engines=ENGINES):
    files = {f"slow {i}": f"CRASHY slow {RUN_MS}\n{word} {i}\n".encode() for i in range(FILES)}
    files.update({f"bad {i}": f"CRASHY malicious Bad.{i}\n{word}\n".encode() for i in range(FILES)})
    body = b"".join(part(i, data, name, engines=engines) for i, (name, data) in enumerate(files.items()))
    lines = batch(stack, body).lines
    assert len(lines) == len(files) and not any("problem" in line for line in lines), lines
    return {f"{name}, {word}": line for name, line in zip(files, lines)}


def check(stack, receipts, results_before, seconds=240):
    all_done(stack, seconds)
    for name, line in receipts.items():
        found = outcomes(stack.report(line["sha256"], line["scan"]))
        assert found["crashy"] == ("malicious" if name.startswith("bad") else "undetected"), (name, found)
        assert set(found) == set(ENGINES), (name, found)
    final_once(stack, len(ENGINES) * len(receipts), results_before)


def final_once(stack, jobs, results_before):
    until(lambda: metric(stack, "phagescan_scan_results_total") - results_before >= jobs, 20, "the counter")
    made = metric(stack, "phagescan_scan_results_total") - results_before
    assert made == jobs, f"{made} results were made final for {jobs} jobs"


@contextlib.contextmanager
def licensed(stack):
    with Licence(stack) as licence:
        yield licence
    assert licence.seen and licence.most <= LIMIT, f"{licence.most} runs at once of an engine that may have {LIMIT}"
    print(f"     {licence.looks} looks, at most {licence.most} at once", flush=True)


def runs_at(licence, workers, seconds=60):
    """Which of these workers runs the engine with a limit, once one does."""
    def there():
        return next((name for name in workers if licence.look((name,))), None)
    return until(there, seconds, f"a running job at one of {workers}")


def brokers_are(stack, *well):
    until(lambda: [b["ok"] for b in stack.api("GET", "/status").json["brokers"]] == list(well), 60, f"brokers {well}")


def workers_are(stack, number):
    until(lambda: metric(stack, "phagescan_workers") == number, 60, f"{number} workers")


def other(broker):
    return "b" if broker == "a" else "a"


def both_take_part(stack):
    """And one of them is the home of the engine with a limit, once what a master before may have given away has passed. A
    second worker joins it, for what comes."""
    before = metric(stack, "phagescan_scan_results_total")
    brokers_are(stack, True, True)
    with licensed(stack) as licence:
        receipts = send(stack, "both")
        home = {"worker": "a", "worker2": "b"}[runs_at(licence, ("worker", "worker2"), 120)]
        stack.options["worker3"] = stack.net.to(f"worker3 {home}")
        stack.start("worker3")
        check(stack, receipts, before)
    workers_are(stack, 3)
    WORKERS[home].append("worker3")
    stack.home = home
    done = {w["broker"]: w["done"] for w in stack.api("GET", "/workers").json["items"]}
    assert set(done) == {0, 1}, done


def a_worker_and_its_broker_are_parted(stack):
    """For as long as it takes the other worker of that broker to do all of it, the job of the one that is cut off included."""
    before = metric(stack, "phagescan_scan_results_total")
    with licensed(stack) as licence:
        receipts = send(stack, "worker")
        name = runs_at(licence, WORKERS[stack.home])
        with stack.net.cables[f"worker3 {stack.home}" if name == "worker3" else name].cut():
            workers_are(stack, 2)
            check(stack, receipts, before)
        workers_are(stack, 3)
        # What the lost one has to tell is late: it changes nothing.
        receipts.update(send(stack, "worker healed"))
        check(stack, receipts, before)


def the_master_and_one_broker_are_parted_for_a_moment(stack):
    """Too short for anything to move: what that broker had waits for it, what has no limit is done at the other one."""
    before = metric(stack, "phagescan_scan_results_total")
    with licensed(stack) as licence:
        receipts = send(stack, "moment")
        runs_at(licence, WORKERS[stack.home])
        with stack.net.cables[f"master {stack.home}"].cut():
            brokers_are(stack, stack.home != "a", stack.home != "b")
            assert stack.api("GET", "/healthz").status == 200, "one broker is enough"
            free = send(stack, "no limit", ["hashes", "type"])
            for line in free.values():
                stack.report(line["sha256"], line["scan"], MOMENT_S + 10)
            limited = send(stack, "limit, while parted")
            threading.Event().wait(MOMENT_S)  # the length is the point
            assert count(stack, "scan", "finished_at is null") >= len(limited), "a verdict came through a cut cable"
            assert not licence.look(WORKERS[other(stack.home)]), "it moved too early"
        brokers_are(stack, True, True)
        all_done(stack)
    for name, line in {**receipts, **limited}.items():
        found = outcomes(stack.report(line["sha256"], line["scan"]))
        assert found["crashy"] == ("malicious" if name.startswith("bad") else "undetected"), (name, found)
    final_once(stack, len(ENGINES) * len({**receipts, **limited}) + 2 * len(free), before)


def the_master_and_one_broker_are_parted_until_its_engine_moves(stack):
    """All of it is done at the other broker; not before what the first may have under way must have ended. It comes back with
    its workers, and gets jobs again; the engine with a limit stays where it is."""
    before = metric(stack, "phagescan_scan_results_total")
    with licensed(stack) as licence:
        receipts = send(stack, "moves")
        runs_at(licence, WORKERS[stack.home])
        with stack.net.cables[f"master {stack.home}"].cut():
            cut_at = time.monotonic()
            brokers_are(stack, stack.home != "a", stack.home != "b")
            runs_at(licence, WORKERS[other(stack.home)], MOVES_S + 60)
            took = time.monotonic() - cut_at
            assert took >= MOVES_S, f"moved {took:.1f} s after the cut"
            print(f"     moved {took:.1f} s after the cut; {MOVES_S:.0f} s is the least", flush=True)
            check(stack, receipts, before)
        brokers_are(stack, True, True)
        workers_are(stack, 3)
        receipts.update(send(stack, "moved"))
        runs_at(licence, WORKERS[other(stack.home)])
        check(stack, receipts, before)


or_skip()
net = Net()
try:
    ground = Ground(engines=ENGINES, options=net.options(), within=net.within,
                    start=("broker", "broker2", "master", "worker", "worker2"))
    ground.attributes["net"] = net
    tell(*ground.stories(both_take_part, a_worker_and_its_broker_are_parted,
                         the_master_and_one_broker_are_parted_for_a_moment,
                         the_master_and_one_broker_are_parted_until_its_engine_moves))
finally:
    net.end()
