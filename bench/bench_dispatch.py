"""bench/run dispatch: jobs from a client through a broker to a worker and back, ours beside its peers, in one run: the
same window, message size and number of workers; interleaved rounds; medians. --only w128,p50 runs a part. How to read what
it writes: bench/README.md."""

import json
import sys
import tempfile
import time
import traceback

import counts
import kit
import peers
from peers import Celery, Nats, Ours, Proxy, Rabbit, RabbitServer, Redis

BASE = {"jobs": 0, "warm": 0, "window": 128, "size": 200, "engines": 1, "sessions": 1, "threads": 1, "queued": 0}
BATCH = 128  # jobs in a message of the second ceiling at most
WORKERS = [1, 10, 100, 1000]
QUEUED = [0, 1_000, 10_000, 100_000, 1_000_000]
MIB = 1 << 20
FLAT = 1.25  # worst over best at most
FEW = 3      # rounds at most of curves and of memory, which hardly vary
DEEP = 64    # jobs outstanding of each worker, in the second curve over workers

# name: (jobs, window and the like, what is compared, its target)
CASES = {
    "w128": (200_000, {"window": 128}, "rate", ">= 1.5"),
    "w1024": (300_000, {"window": 1024}, "rate", ">= 2.5"),
    "nats128": (200_000, {"window": 128}, "rate", "> 1"),
    "nats1024": (300_000, {"window": 1024}, "rate", "> 1"),
    "curve": (300_000, {"window": 1024}, "rate", ">= 0.8"),
    "p50": (10_000, {"window": 1}, "p50_us", "<= 1.1"),
    "k4": (50_000, {"window": 128, "size": 4096}, "rate", ">= 1.3"),
    "k64": (6_000, {"window": 32, "size": 64 << 10}, "rate", ">= 0.9"),
    "m1": (400, {"window": 8, "size": MIB}, "rate", ">= 0.9"),
    "engines8": (320_000, {"window": 1024, "engines": 8}, "rate", ">= 4.0"),
    "redis": (40_000, {"window": 128}, "rate", "-"),
    "celery": (1_500, {"window": 128}, "rate", "-"),
    "rabbitmq": (15_000, {"window": 128}, "rate", "-"),
}
# The last line, as others read it; the line before has the rest.
LAST = ["w128", "w1024", "nats128", "nats1024", "curve", "p50", "k4", "k64", "m1", "engines8", "bytes_per_job", "celery", "rabbitmq"]
MORE = ["redis", "flat_workers", "flat_deep", "flat_queue"]
ORDER = [*[n for n in LAST if n not in ("celery", "rabbitmq")], *MORE, "celery", "rabbitmq"]
# Curves, each over one thing: its points, and a point's settings.
CURVES = {
    "flat_workers": ("workers", WORKERS, lambda n: {"window": 1024, "sessions": n, "threads": min(n, 2)}),
    "flat_deep": ("workers", WORKERS, lambda n: {"window": DEEP * n, "credit": DEEP, "sessions": n, "threads": min(n, 2)}),
    "flat_queue": ("queued", QUEUED, lambda n: {"window": 1024, "queued": n}),
}


def contestants(name, server):
    """{label: who}, ours first, then the one it is compared with (or several, of which the best counts)."""
    ours, proxy = Ours(), Proxy()
    if name == "curve":
        return {"ours, CURVE": Ours(curve=True), "ours, no CURVE": ours}
    if name.startswith("nats"):
        return {"ours": ours, "NATS": Nats()}
    if name == "redis":
        return {"ours": ours, "Redis": Redis()}
    if name == "rabbitmq":
        return {"ours": ours} | {f"RabbitMQ {m.replace(',', ' ') or 'transient'}": Rabbit(server, m)
                                 for m in ("", "confirm", "persistent", "persistent,confirm")}
    if name == "celery":
        return {"ours": ours} | {f"Celery {m}": Celery(server, m) for m in ("ignore_result", "rpc")}
    more = {"ours": ours, "zmq_proxy": proxy}
    if name in ("w128", "w1024"):
        more |= {f"zmq_proxy, {BATCH} jobs a message": Proxy(batch=BATCH), "ours, ipc": Ours("ipc"), "zmq_proxy, ipc": Proxy("ipc")}
    if name == "w1024":
        more |= {"ours, credit 64": Ours(credit=64)}
    return more


def rivals(name, labels):
    """Those whose best is what ours is divided by."""
    return labels[1:] if name in ("rabbitmq", "celery") else labels[1:2]


class Bench:
    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.few = min(args.rounds, FEW)
        self.left_out, self.cases, self.values = {}, {}, {}

    def case(self, jobs, **settings):
        if self.args.quick:
            jobs = max(jobs // 10, 40)
        case = {**BASE, **settings}
        # Measured is what goes while the window is full: its filling is left out, its draining is a small part.
        case["jobs"] = jobs = -(-max(jobs, 12 * case["window"]) // 8) * 8
        case["warm"] = max(jobs // 10, case["window"])
        case.setdefault("credit", max(64, case["window"]))
        return case

    def once(self, who, case, method="run"):
        with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
            return getattr(who, method)(kit.pathlib.Path(directory), case)

    def guard(self, name, work):
        """A peer that fails is named, and the rest goes on."""
        try:
            return work()
        except (RuntimeError, TimeoutError, OSError, NotImplementedError, kit.subprocess.SubprocessError) as error:
            self.left_out[name] = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
            kit.say(f"{name}: LEFT OUT: {error}")
            if self.args.strict:
                traceback.print_exc()
                sys.exit(1)
            return None

    def measure(self, name, server=None):
        jobs, settings, key, target = CASES[name]
        case, who = self.case(jobs, **settings), contestants(name, server)
        # Slow peers get fewer jobs than ours needs to be in its stride.
        few = name in ("celery", "rabbitmq")
        cases = {label: self.case(200_000, window=128) if few and isinstance(one, Ours) else case for label, one in who.items()}
        results = {label: [] for label in who}
        for _ in range(self.args.rounds):
            for label, one in who.items():
                results[label].append(self.once(one, cases[label]))
        # What perf counts costs time: so it counts in a round of its own.
        counted = {label: self.once(one, {**cases[label], "counts": True})["counts"] if self.args.counts and counts.available() else {}
                   for label, one in who.items()}
        self.note(name, cases, results, counted, key, target)

    def note(self, name, cases, results, counted, key, target):
        labels = list(results)
        middle = {label: {k: kit.median([r[k] for r in rs]) for k in ("rate", "p50_us", "p99_us")} |
                  {"spread": kit.spread([r[key] for r in rs]), "cost": middle_cost(rs), "counts": counted[label],
                   "case": cases[label]} for label, rs in results.items()}
        best = max(rivals(name, labels), key=lambda label: middle[label][key])
        ratios = [a[key] / b[key] for a, b in zip(results[labels[0]], results[best])]
        ratio = kit.median(ratios)
        self.values[name] = float(ratio)
        self.cases[name] = {"case": cases[best], "key": key, "target": target, "of": f"{labels[0]} / {best}", "ratio": ratio,
                            "ratios": ratios, "middle": middle, "rounds": results}
        kit.say(f"{name}: {ratio:.2f} ({min(ratios):.2f}..{max(ratios):.2f}; {target}) " +
                "; ".join(f"{label} {m['rate']:.0f}/s p50 {m['p50_us']:.0f} us" for label, m in middle.items()))

    def bytes_per_job(self):
        case = {**BASE, "jobs": 1_000_000}  # --quick too: of fewer, a larger part is what the broker has anyway
        who = {"ours": Ours(), "zmq_proxy": Proxy()}
        rounds = {label: [] for label in who}
        for _ in range(self.few):
            for label, one in who.items():
                rounds[label].append(self.once(one, case, "fill") - case["size"])
        found = {label: kit.median(of) for label, of in rounds.items()}
        self.values["bytes_per_job"] = round(found["ours"])
        self.cases["bytes_per_job"] = {"case": case, "beside_payload": found, "rounds": rounds}
        kit.say(f"bytes_per_job: beside the payload {words_of_bytes(self.cases['bytes_per_job'])}, {case['jobs']} jobs")

    def curve(self, name):
        """Processor time of the broker a job, interleaved; over workers the proxy's beside it."""
        head, points, settings = CURVES[name]
        who = {"ours": Ours(), "zmq_proxy": Proxy()} if head == "workers" else {"ours": Ours()}
        cases = {p: self.case(200_000, **settings(p)) for p in points}
        rounds = {label: {p: [] for p in points} for label in who}
        for _ in range(self.few):
            for p in points:
                for label, one in who.items():
                    rounds[label][p].append(self.once(one, cases[p]))
        cost = {label: {p: kit.median([r["cost"]["broker"]["cpu_s"] for r in rs]) * 10 for p, rs in of.items()}  # us a job
                for label, of in rounds.items()}
        rate = {label: {p: kit.median([r["rate"] for r in rs]) for p, rs in of.items()} for label, of in rounds.items()}
        ratio = {label: max(of.values()) / min(of.values()) for label, of in cost.items()}
        self.values[name] = ratio["ours"]
        self.cases[name] = {"us_a_job": cost, "rate": rate, "rounds": rounds, "ratio": ratio, "case": cases}
        for label in who:
            kit.say(f"{name}: {label} {ratio[label]:.2f} " +
                    "; ".join(f"{p}: {cost[label][p]:.2f} us {rate[label][p]:.0f}/s" for p in points))

    def run(self, names):
        plain = [n for n in names if n not in ("rabbitmq", "celery")]
        for name in plain:
            kind = "nats" if name.startswith("nats") else name
            why = peers.missing(kind)
            if why:
                self.left_out[name] = why
            elif name == "bytes_per_job":
                self.guard(name, self.bytes_per_job)
            elif name in CURVES:
                self.guard(name, lambda n=name: self.curve(n))
            else:
                self.guard(name, lambda n=name: self.measure(n))
        heavy = [n for n in names if n in ("rabbitmq", "celery")]
        for name in [n for n in heavy if peers.missing(n)]:
            self.left_out[name] = peers.missing(name)
        heavy = [n for n in heavy if n not in self.left_out]
        if heavy:
            self.guard("rabbitmq", lambda: self.with_rabbit(heavy))

    def with_rabbit(self, names):
        with RabbitServer(self.scratch) as server:
            for name in names:
                self.guard(name, lambda n=name: self.measure(n, server))


def middle_cost(results):
    """Medians of what each process cost."""
    return {name: {word: kit.median([r["cost"][name][word] for r in results]) for word in words}
            for name, words in results[0]["cost"].items()}


def words_of_bytes(memory):
    return ", ".join(f"{label} {n:.0f} B ({kit.spread(memory['rounds'][label])})" for label, n in memory["beside_payload"].items())


def amount(n):
    return f"{n / 1e6:.1f}M" if n >= 1e6 else f"{n / 1e3:.1f}k" if n >= 1e3 else f"{n:.0f}"


def cost_words(middle, name):
    """A cell: what one process cost."""
    if name not in middle["cost"]:
        return "-"
    cost = middle["cost"][name]
    counted = "".join(f", {amount(n)} {word}" for word, n in middle["counts"].get(name, {}).items() if word != "switches")
    return f"{cost['cpu_s']:.2f} s, {amount(cost['waits'])} + {amount(cost['forced'])}{counted}"


def ratio_table(bench):
    text = "| case | window | size | engines | ours / peer | target | spread | of |\n|" + "---|" * 8 + "\n"
    for name, c in bench.cases.items():
        if "middle" in c:
            case = c["case"]
            text += (f"| {name} | {case['window']} | {case['size']} | {case['engines']} | {c['ratio']:.2f} | {c['target']} | "
                     f"{min(c['ratios']):.2f}..{max(c['ratios']):.2f} | {c['of']}, {c['key']} |\n")
    for name, why in bench.left_out.items():
        text += f"| {name} | | | | left out | | | {why} |\n"
    return text


def cost_table(bench):
    counted = counts.available() if bench.args.counts else {}
    text = ("\nCosts of each process a hundred thousand jobs: processor seconds, waits (voluntary context switches: it slept and "
            "was woken) + forced switches" + "".join(f", {word}" for word in counted if word != "switches") + ".\n\n"
            "| case | who | jobs | jobs/s | p50 us | p99 us | spread | broker | client | worker |\n|" + "---|" * 10 + "\n")
    for name, c in bench.cases.items():
        for label, m in c.get("middle", {}).items():
            text += (f"| {name} | {label} | {m['case']['jobs']} | {m['rate']:.0f} | {m['p50_us']:.0f} | {m['p99_us']:.0f} | "
                     f"{m['spread']} | " + " | ".join(cost_words(m, p) for p in ("broker", "client", "worker")) + " |\n")
    return text


def tables(bench):
    text = ratio_table(bench) + cost_table(bench)
    for name in CURVES:
        if name in bench.cases:
            c, head = bench.cases[name], CURVES[name][0]
            text += (f"\n{name}: worst / best " + ", ".join(f"{label} {ratio:.2f}" for label, ratio in c["ratio"].items()) +
                     f" (target for ours: at most {FLAT}).\n\n| {head} | outstanding | credit | " +
                     " | ".join(f"{label}, broker us a job | {label}, jobs/s" for label in c["ratio"]) + " |\n|" +
                     "---|" * (3 + 2 * len(c["ratio"])) + "\n")
            for p, case in c["case"].items():
                text += (f"| {p} | {case['window']} | {case['credit']} | " +
                         " | ".join(f"{c['us_a_job'][label][p]:.2f} | {c['rate'][label][p]:.0f}" for label in c["ratio"]) + " |\n")
    if "bytes_per_job" in bench.cases:
        c = bench.cases["bytes_per_job"]
        text += (f"\nMemory a queued job of {c['case']['size']} B beside its payload, {c['case']['jobs']} jobs, no worker: "
                 f"{words_of_bytes(c)} (target: at most 128).\n")
    return text + settings_words(bench)


def settings_words(bench):
    return f"""
Settings. Rounds: {bench.args.rounds} (curves and memory {bench.few}), interleaved, medians; the first tenth of the jobs (at least a window) is not measured. Transport:
TCP on loopback unless said. One client, one broker or server, one worker, each a process. Answers hold 96 bytes (ours: a
RESULT record, about as long); every one is checked, by its job's number and by a sum over the job's bytes.
Ours: 16 owners, two bands, deadline 300 s, leases, heartbeats, retries, result credit (window + 1,024), worker's credit
max(64, window) unless said; submitted and committed one by one. Broker: {' '.join(peers.BROKER_OPTIONS)}, else defaults.
zmq_proxy: ROUTER and DEALER, high-water marks unlimited, one I/O thread. NATS: no JetStream, nothing persistent, queue
group, writes gathered. Redis: LPUSH and BRPOP in pipelines, no persistence. RabbitMQ: one node, prefetch = window, single
acknowledgements after the answer, fsync as it comes. Celery: JSON, one solo worker, prefetch = window.
Versions: {', '.join(f'{k} {v}' for k, v in peers.versions().items())}.
"""


# What the plot shows, as gnuplot data blocks: $peers, $ratio, $size, and one of each curve and contestant.

def peers_rows(bench):
    """Who does how many jobs a second, at 128 outstanding."""
    rows = {}
    for name in ("w128", "nats128", "redis", "rabbitmq", "celery"):
        for label, m in bench.cases.get(name, {}).get("middle", {}).items():
            rows.setdefault(label, m["rate"])
    return sorted(rows.items(), key=lambda row: row[1])


def size_rows(bench):
    """MiB a second of both; one size would be no curve."""
    rows = [(bench.cases[n]["case"]["size"], bench.cases[n]["middle"]) for n in ("w128", "k4", "k64", "m1") if n in bench.cases]
    return [(size, *(m[label]["rate"] * size / MIB for label in ("ours", "zmq_proxy"))) for size, m in rows] if len(rows) > 1 else []


def ratio_rows(bench):
    return [(n, c["ratio"]) for n, c in bench.cases.items() if "middle" in c and c["key"] == "rate"]


def block(name, rows):
    words = (" ".join(f'"{v}"' if isinstance(v, str) else f"{v:.6g}" for v in row) for row in rows)
    return f"${name} << EOD\n" + "".join(f"{w}\n" for w in words) + "EOD\n"


def words_of(text):
    """In gnuplot's quotes, where _ would lower the next letter."""
    return "'" + text.replace("_", "\\_") + "'"


def bar_panel(title, data, rows, low, line=""):
    """Bars from low, which is below all of them: a logarithmic axis has no nought. line: where one goes across."""
    names = ", ".join(f"{words_of(row[0])} {i}" for i, row in enumerate(rows))
    across = f"set arrow 1 from {line}, graph 0 to {line}, graph 1 nohead dashtype 2 lc rgb '#aa6644'\n" if line else ""
    return (f"set title '{title}'\nset logscale x\nset xrange [{low}:*]\nset yrange [-0.6:{len(rows) - 0.4}]\nset ytics ({names})\n"
            f"set style fill solid 0.6 noborder\n{across}"
            f"plot ${data} using ({low}):0:({low}):2:($0-0.35):($0+0.35) with boxxyerror lc rgb '#4466aa' notitle\n"
            "unset arrow 1\nunset logscale x\nset xrange [*:*]\nset yrange [*:*]\nset ytics autofreq\n")


def curve_panel(bench, title, curves):
    """curves: {curve: its words}."""
    lines, colours = [], iter(("#4466aa", "#aa6644", "#7799dd", "#dd9977"))
    for name, words in curves.items():
        for label in bench.cases.get(name, {}).get("us_a_job", {}):
            lines.append(f"${name}_{label} using 1:2 with linespoints lw 2 lc rgb '{next(colours)}' "
                         f"title {words_of(f'{label}, {words}')}")
    if not lines:
        return ""
    return (f"set title '{title}'\nset logscale xy\nset key top left\nplot {', '.join(lines)}\nunset logscale xy\n")


def plot(bench):
    many, sizes, ratios = peers_rows(bench), size_rows(bench), ratio_rows(bench)
    data = block("peers", many) + block("size", sizes) + block("ratio", ratios)
    for name in CURVES:
        for label, points in bench.cases.get(name, {}).get("us_a_job", {}).items():
            data += block(f"{name}_{label}", [(max(p, 1), us) for p, us in points.items()])
    panels = [bar_panel("Jobs a second, 128 outstanding", "peers", many, 100) if many else "",
              bar_panel("Ours over the peer, jobs/s", "ratio", ratios, 0.1, line="1") if ratios else "",
              curve_panel(bench, "Broker, us a job, over workers", {"flat_workers": "1,024 outstanding", "flat_deep": f"{DEEP} each"}),
              curve_panel(bench, "Broker, us a job, over queued jobs (none: drawn at 1)", {"flat_queue": "1,024 outstanding"}),
              "set title 'MiB/s over bytes of a sample'\nset logscale xy\nset key top left\n"
              "plot $size using 1:2 with linespoints lw 2 lc rgb '#4466aa' title 'ours', "
              "$size using 1:3 with linespoints lw 2 lc rgb '#aa6644' title 'zmq\\_proxy'\nunset logscale xy\n" if sizes else ""]
    if not any(panels):
        return "set title 'no ratio, no curve'\nplot [0:1] 0 notitle\n"
    return (f"set terminal svg size 900,1000 font 'sans,11' background 'white'\n{data}set multiplot layout 3,2\n" + "".join(panels) +
            "unset multiplot\n")


def main():
    args = kit.arguments(__doc__, ("--rounds", 5, "rounds"), ("--only", "", "cases, by commas: " + " ".join(ORDER)),
                         ("--counts", 1, "0: without the round that perf counts"), ("--strict", 0, "1: the first failure ends the run"))
    if args.quick:
        args.rounds = 1
    names = args.only.split(",") if args.only else ORDER
    unknown = [n for n in names if n not in ORDER]
    if unknown:
        sys.exit(f"no such case: {', '.join(unknown)}; there are {', '.join(ORDER)}")
    at = time.monotonic()
    with kit.Scratch() as scratch:
        bench = Bench(args, scratch)
        bench.run(names)
    data = {"cases": bench.cases, "left_out": bench.left_out, "rounds": args.rounds, "quick": args.quick,
            "counted": counts.available(), "broker_options": peers.BROKER_OPTIONS, "versions": peers.versions(),
            "settings": settings_words(bench), "seconds": time.monotonic() - at}
    name = "dispatch" if not args.only else "dispatch-part"
    kit.write_results(name, json.loads(json.dumps(data)), tables(bench), plot(bench))
    for case in bench.left_out:
        bench.values.setdefault(case, "left-out")
    for line, keys in (("dispatch-more", MORE), ("dispatch", LAST)):
        kit.last_line(line, **{n: bench.values[n] for n in keys if n in bench.values})


main()
