"""What the benches share: a whole Phagescan in a directory of its own, measurements, result files."""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = pathlib.Path(os.environ.get("PHAGESCAN_BENCH_RESULTS", ROOT / "bench" / "results"))
PREFIX = pathlib.Path(os.environ["PHAGESCAN_LIB"])
PROGRAM = PREFIX / "bin" / "phagescan"
# Programs of the benches' own, in the build tree: they are never installed.
BENCH_PROGRAMS = pathlib.Path(os.environ.get("PHAGESCAN_BENCH_PROGRAMS", ROOT / "build-bench" / "bench"))


def arguments(prose, *more):
    """The options every bench has; more: (flag, default, help) of its own."""
    parser = argparse.ArgumentParser(description=prose)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: does it run, and roughly how fast")
    for flag, default, text in more:
        parser.add_argument(flag, default=default, type=type(default), help=text)
    return parser.parse_args()


def say(text):
    print(text, flush=True)


def eicar():
    """In two halves, so that no scanner takes this file for it."""
    return b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD" + b"-ANTIVIRUS-TEST-FILE!$H+H*"


class Scratch:
    """A directory that others may enter (engines and clamd run under accounts of their own), gone at the end. Rounds
    leave their files in it until then: an ext4 without a journal passes over inodes deleted in the last minutes one by
    one (fs/ext4/ialloc.c, recently_deleted), and the next round would pay for the last one's clearing up."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="phagescan-bench."))
        self.path.chmod(0o755)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Stack:
    """PostgreSQL, broker, master and worker, started by `phagescan up` with a state directory of its own."""

    def __init__(self, state, config="", signatures=None, slots=None, port=0):
        self.state = pathlib.Path(state)
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o755)
        (self.state / "phagescan.conf").write_text(config)
        self.env = dict(os.environ, PHAGESCAN_STATE=str(self.state), PHAGESCAN_LIB=str(PREFIX))
        self.up = [str(PROGRAM), "up", "--background", "--port", str(port)]
        if signatures:
            self.up += ["--signatures", str(signatures)]
        if slots:
            self.up += ["--slots", str(slots)]

    def __enter__(self):
        done = subprocess.run(self.up, env=self.env, text=True, capture_output=True)
        if done.returncode != 0:
            for log in sorted((self.state / "log").glob("*.log")):
                sys.stderr.write(f"--- {log.name}\n" + "".join(log.read_text(errors="replace").splitlines(True)[-20:]))
            sys.exit(f"phagescan up failed: {done.stdout}{done.stderr}")
        return self

    def __exit__(self, *_):
        subprocess.run([str(PROGRAM), "down"], env=self.env, capture_output=True)

    def run(self, *args, check=(0, 1, 2), **kwargs):
        done = subprocess.run([str(PROGRAM), *map(str, args)], env=self.env, text=True, capture_output=True, **kwargs)
        if done.returncode not in check:
            sys.exit(f"phagescan {' '.join(map(str, args))}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def wait_engines(self, names, seconds=180):
        """Until a worker offers all of these."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            items = json.loads(self.run("engines", "--json").stdout)["items"]
            if set(names) <= {e["name"] for e in items if e["available"]}:
                return items
            time.sleep(0.2)  # a poll of a condition with a deadline
        sys.exit(f"engines {names} are not offered: {items}")

    def sql(self, text):
        """One statement or script through psql; the rows as lists of text."""
        done = subprocess.run(["psql", "-h", str(self.state / "run" / "pg"), "-U", "postgres", "-d", "phagescan", "-qAtX",
                               "-v", "ON_ERROR_STOP=1", "-F", "\t", "-c", text], text=True, capture_output=True)
        if done.returncode != 0:
            sys.exit(f"psql: {done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def memory(self):
        """Peak resident memory of each process of ours, MiB, engine hosts and database backends summed up."""
        units = json.loads(self.run("status", "--json").stdout)["supervisor"]["units"]
        peaks = {}
        for unit in units:
            total = 0
            for pid in family(unit["pid"]):
                total += proportional(pid)
            peaks[unit["name"]] = round(total / 1024, 1)
        return peaks


def family(pid):
    """pid and all below it."""
    below = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        below.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(stat.parent.name))
    rest, all_of_them = [pid], []
    while rest:
        one = rest.pop()
        all_of_them.append(one)
        rest += below.get(one, [])
    return all_of_them


def proportional(pid):
    """Proportional set size, KiB: shared pages are counted once over all who share them."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))


def cpu_seconds(pids):
    """User and system time of processes, with their waited-for children."""
    total = 0.0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"cpu": model.group(1) if model else "unknown", "cores": os.cpu_count(), "kernel": os.uname().release,
            "date": time.strftime("%Y-%m-%d", time.gmtime())}


def median(values):
    return statistics.median(values)


def spread(values):
    return f"{min(values):.0f}..{max(values):.0f}"


def sample_of(paths, n, seed):
    """n of them, the same ones for the same seed and machine."""
    paths = sorted(paths)
    return sorted(random.Random(seed).sample(paths, min(n, len(paths))))


def write_results(name, data, markdown, plot):
    """plot: gnuplot commands; the bench's data go to it as $data already."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    data = {"machine": machine(), **data}
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")
    m = data["machine"]
    head = f"# bench/run {name}\n\n{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['date']}.\n\n"
    (RESULTS / f"{name}.md").write_text(head + markdown.strip() + "\n")
    subprocess.run(["gnuplot"], input=f"set terminal svg size 720,360 font 'sans,12' background 'white'\n"
                   f"set output '{RESULTS / (name + '.svg')}'\n" + plot, text=True, check=True)


def last_line(name, **values):
    say(f"{name} " + " ".join(f"{k}={v:.2f}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items()))
