"""bench/run jail: what the walls around an engine cost.

Calls: a job handed to a jailed child and back (engines/noop), beside a forked process without jail; a child killed and
started again; an external tool in the jail beside the same program plainly started, and beside bubblewrap. Throughput: a
corpus through libclamav's jailed children beside a prefork loop of libclamav alone, the same heavy signatures. Memory: what
a further child has of its own. All contestants take turns within a round."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import bench_scan
import kit
import signatures

SLOTS = os.cpu_count()
JAIL = kit.BENCH_PROGRAMS / "jail"
ENGINES = kit.PREFIX / "engines"
TRUE = "/usr/bin/true"
FOREVER = "--recycle=100000000"  # a child that is replaced in between would be measured as well
BYTES = 4096
# What bubblewrap has to be told for a program that sees no more than one in our jail does.
BUBBLEWRAP = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr",
              "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--tmpfs", "/tmp", TRUE]
AIMS = {"handoff_p50_us": ("at most", 60), "bare": ("at least", 0.95), "child_private_mb": ("at most", 16),
        "restart_ms": ("at most", 20), "tool_ms": ("at most", 3)}


def enginehost():
    found = list(kit.PREFIX.glob("**/phagescan-enginehost"))
    return str(found[0]) if found else sys.exit(f"no phagescan-enginehost below {kit.PREFIX}")


def host(plugin, tmp, sigs="", *options):
    return [enginehost(), str(plugin), str(tmp), str(sigs), *options]


def calls(case, *words):
    done = subprocess.run([str(JAIL / "jail_calls"), case, *map(str, words)], text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"jail_calls {case}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def medians(rounds):
    """Of each number, over rounds of the same keys."""
    return {key: {at: kit.median([r[key][at] for r in rounds]) for at in ("p50", "p99", "least")} for key in rounds[0]}


def works(argv):
    try:
        return subprocess.run(argv, capture_output=True).returncode == 0
    except OSError:
        return False


def measure_calls(args, tmp):
    noop, tool = host(ENGINES / "noop" / "noop.so", tmp, "", FOREVER), host(JAIL / "tool.so", tmp, "", FOREVER)
    wrapped = works(BUBBLEWRAP)
    if not wrapped:
        kit.say("left out: bubblewrap (not installed, or it can't make its namespaces here)")
    runs = {"jail": [], "fork": [], "restart": [], "tool": [], "exec": [], "bubblewrap": []}
    for number in range(args.rounds):
        runs["fork"].append(calls("fork", args.calls, BYTES))
        runs["jail"].append(calls("handoff", args.calls, BYTES, *noop))
        runs["restart"].append(calls("restart", args.restarts, *noop))
        runs["exec"].append(calls("exec", args.programs, TRUE))
        runs["tool"].append(calls("handoff", args.programs, BYTES, *tool))
        if wrapped:
            runs["bubblewrap"].append(calls("exec", args.programs, *BUBBLEWRAP))
        last = {k: v[-1] for k, v in runs.items() if v}
        kit.say(f"round {number + 1}: hand-off {last['jail']['whole']['p50']:.1f} us (HAVE after {last['jail']['have']['p50']:.1f}), forked "
                f"process {last['fork']['whole']['p50']:.1f}; restart {last['restart']['ready']['p50'] / 1000:.2f} ms; tool "
                f"{last['tool']['whole']['p50'] / 1000:.2f} ms, plain {last['exec']['exec']['p50'] / 1000:.2f}"
                + (f", bubblewrap {last['bubblewrap']['exec']['p50'] / 1000:.2f}" if wrapped else ""))
    return {name: medians(results) for name, results in runs.items() if results}, runs


class Program:
    """jail_ours or jail_bare: loaded once, asked a line at a time."""

    def __init__(self, name, *words):
        self.name = name
        self.process = subprocess.Popen([str(JAIL / name), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)

    def __enter__(self):
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"{self.name} did not start")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        line = self.process.stdout.readline()
        return json.loads(line) if line else sys.exit(f"{self.name} ended")


def private_dirty(pid):
    """MB of memory that this process alone has and has written to."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Private_Dirty:\s+(\d+)", text, re.M).group(1)) * 1024 / 1e6


def memory(ours):
    return [round(private_dirty(pid), 2) for pid in ours.ask("children")["children"]]


def measure_scan(args, scratch, tmp):
    corpus, database = scratch / "corpus", scratch / "signatures"
    n, size = bench_scan.make_corpus(corpus, args.files)
    signatures.make(database, args.signatures)
    for path in (ENGINES / "clamav" / "signatures").glob("*.[hn]*b"):
        shutil.copyfile(path, database / path.name)
    kit.say(f"{n} files, {size / 1e6:.1f} MB, {args.signatures} synthetic signatures and the bundled ones, {SLOTS} slots")
    clamav = host(ENGINES / "clamav" / "clamav.so", tmp, database)
    # Who is not root sees the memory of a process only if that is dumpable.
    options = [FOREVER, "--set=cache_off=1"] + ([] if os.getuid() == 0 else ["--wall-off=dumpable"])
    ours, bare = [], []
    with contextlib.ExitStack() as stack:
        a = stack.enter_context(Program("jail_ours", *clamav, SLOTS, corpus, *options))
        b = stack.enter_context(Program("jail_bare", tmp, database, SLOTS, corpus))
        private = {"idle": memory(a)}
        a.ask("round"), b.ask("round")  # warm: the corpus in the page cache, lazy tables touched
        for number in range(args.scan_rounds):
            order = [(a, ours), (b, bare)]
            for program, results in order if number % 2 else reversed(order):
                results.append(program.ask("round"))
            kit.say(f"scan round {number + 1}: jail {n / ours[-1]['seconds']:.0f} files/s ({ours[-1]['hits']} hits, cpu "
                    f"{ours[-1]['cpu_s']:.2f} s), bare {n / bare[-1]['seconds']:.0f} ({bare[-1]['hits']} hits, cpu {bare[-1]['cpu_s']:.2f} s)")
        private["worked"] = memory(a)
    if {r["hits"] for r in ours} != {r["hits"] for r in bare}:
        sys.exit("the jail and libclamav alone do not find the same")
    heavy = calls("restart", max(args.restarts // 4, 10), *host(ENGINES / "clamav" / "clamav.so", tmp, database, FOREVER))
    return {"files": n, "bytes": size, "ours": ours, "bare": bare, "private_mb": private, "restart": heavy,
            "ratio": kit.median([y["seconds"] / x["seconds"] for x, y in zip(ours, bare)]),
            "cpu_ratio": kit.median([y["cpu_s"] / x["cpu_s"] for x, y in zip(ours, bare)])}


def met(key, value):
    word, aim = AIMS[key]
    return value <= aim if word == "at most" else value >= aim


def numbers(got, scan):
    return {"handoff_p50_us": got["jail"]["whole"]["p50"], "bare": scan["ratio"], "child_private_mb": max(scan["private_mb"]["worked"]),
            "restart_ms": scan["restart"]["ready"]["p50"] / 1000,
            "tool_ms": (got["tool"]["result"]["p50"] - got["exec"]["exec"]["p50"]) / 1000}


def row(name, times, unit=1.0, digits=1):
    return f"| {name} | {times['p50'] / unit:.{digits}f} | {times['p99'] / unit:.{digits}f} | {times['least'] / unit:.{digits}f} |\n"


def call_table(got, scan):
    text = "| call | p50 | p99 | least |\n|---|---|---|---|\n"
    text += row(f"jail: {BYTES} bytes into a sealed memfd, job, scan by noop, result, us", got["jail"]["whole"])
    text += row("of that: from ps_host_run to HAVE, us", got["jail"]["have"])
    text += row("from ps_host_run to the result, us", got["jail"]["result"])
    text += row("the floor: the same by a forked process, no jail, no codec, us", got["fork"]["whole"])
    for what, times in (("noop", got["restart"]), ("heavy clamav", scan["restart"])):
        text += row(f"{what}: child killed to EXITED, ms", times["exited"], 1000, 2)
        text += row(f"{what}: child killed to READY of the next, ms", times["ready"], 1000, 2)
        text += row(f"{what}: child killed to HAVE of the next, ms", times["have"], 1000, 2)
    text += row(f"a job whose engine runs {TRUE} in the jail, ms", got["tool"]["result"], 1000, 2)
    text += row(f"{TRUE} plainly started, ms", got["exec"]["exec"], 1000, 2)
    if "bubblewrap" in got:
        text += row("the same in bubblewrap, ms", got["bubblewrap"]["exec"], 1000, 2)
    return text


def report(args, got, runs, scan):
    value = numbers(got, scan)
    text = f"Medians of {args.rounds} rounds of {args.calls} hand-offs, {args.restarts} restarts, {args.programs} programs.\n\n"
    text += call_table(got, scan)
    ours, bare = ([r["seconds"] for r in scan[key]] for key in ("ours", "bare"))
    n, size = scan["files"], scan["bytes"]
    text += f"""
{n} files, {size / 1e6:.1f} MB, {args.signatures} synthetic signatures, {SLOTS} slots, {args.scan_rounds} rounds in turn, caches off, the same {scan['ours'][0]['hits']} hits:

| | files/s, median | spread | cpu s, median |
|---|---|---|---|
| jailed children | {n / kit.median(ours):.0f} | {kit.spread([n / s for s in ours])} | {kit.median([r['cpu_s'] for r in scan['ours']]):.2f} |
| prefork loop of libclamav alone | {n / kit.median(bare):.0f} | {kit.spread([n / s for s in bare])} | {kit.median([r['cpu_s'] for r in scan['bare']]):.2f} |

Ratio {scan['ratio']:.3f} by time, {scan['cpu_ratio']:.3f} by processor time (medians of the rounds' ratios).
Private memory of children (Private_Dirty, MB): idle {scan['private_mb']['idle']}, after the corpus {scan['private_mb']['worked']}.

| aim | | measured | |
|---|---|---|---|
"""
    for key, (word, aim) in AIMS.items():
        text += f"| {key} | {word} {aim} | {value[key]:.2f} | {'met' if met(key, value[key]) else '**missed**'} |\n"
    bars = [("no jail", got["fork"]["whole"]["p50"]), ("jail", got["jail"]["whole"]["p50"])]
    kit.write_results("jail", {"calls": got, "runs": runs, "scan": scan, "values": value, "quick": args.quick,
                               "signatures": args.signatures, "slots": SLOTS}, text, plot(bars, got))
    kit.last_line("jail", **value)


def plot(bars, got):
    tools = [("plain", got["exec"]["exec"]["p50"]), ("our jail", got["tool"]["result"]["p50"])]
    if "bubblewrap" in got:
        tools.append(("bubblewrap", got["bubblewrap"]["exec"]["p50"]))
    data = "".join(f"${name} << EOD\n" + "".join(f'"{label}" {v / unit:.3f}\n' for label, v in rows) + "EOD\n"
                   for name, rows, unit in (("handoff", bars, 1), ("tool", tools, 1000)))
    return data + """set multiplot layout 1,2
set style fill solid 0.6
set boxwidth 0.5
set yrange [0:*]
unset key
set title "A job handed over and back"
set ylabel "us, median"
plot $handoff using 0:2:xtic(1) with boxes lc rgb '#4466aa'
set title "An external program"
set ylabel "ms, median"
plot $tool using 0:2:xtic(1) with boxes lc rgb '#aa6644'
unset multiplot
"""


def main():
    args = kit.arguments(__doc__, ("--rounds", 5, "rounds of calls"), ("--calls", 10_000, "hand-offs a round"),
                         ("--restarts", 100, "restarts a round"), ("--programs", 200, "programs started a round"),
                         ("--files", 1500, "ordinary files"), ("--signatures", 5_000_000, "synthetic signatures"),
                         ("--scan-rounds", 7, "rounds of the corpus"))
    if args.quick:
        args.rounds, args.calls, args.restarts, args.programs = 2, 2_000, 20, 50
        args.files, args.signatures, args.scan_rounds = 200, 100_000, 2
    with kit.Scratch() as scratch:
        tmp = scratch / "tmp"
        tmp.mkdir()
        tmp.chmod(0o711)  # as root the engine host becomes somebody else, and must get through
        got, runs = measure_calls(args, tmp)
        report(args, got, runs, measure_scan(args, scratch, tmp))


if __name__ == "__main__":
    main()
