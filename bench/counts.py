"""What perf counts in processes from one moment to another: system calls, switches, instructions, as far as this machine
counts them. Nothing where perf is not installed or not allowed."""

import functools
import os
import pathlib
import shutil
import signal
import subprocess

EVENTS = {"syscalls": "raw_syscalls:sys_enter", "switches": "context-switches", "migrations": "cpu-migrations",
          "instructions": "instructions"}
PER = 100_000


@functools.cache
def available():
    """{word: event} of those that are counted here."""
    if not shutil.which("perf"):
        return {}
    return {word: event for word, event in EVENTS.items() if probe(event)}


def probe(event):
    done = subprocess.run(["perf", "stat", "-x", ",", "-e", event, "true"], text=True, capture_output=True)
    return done.returncode == 0 and not any("<not" in line for line in done.stderr.splitlines())


def parse(path):
    """A file of perf stat -x: value,unit,event,..."""
    values = {}
    for line in path.read_text(errors="replace").splitlines():
        fields = line.split(",")
        for word, event in EVENTS.items():
            if len(fields) > 2 and fields[2].split(":u")[0] == event and fields[0].isdigit():
                values[word] = int(fields[0])
    return values


class Watch:
    """One process, counted between start() and stop(), with threads and children that it makes meanwhile. perf is started
    before, counts when it is told to, and says that it does: so nothing is missed and nothing too much."""

    def __init__(self, directory, name, pid):
        self.out = pathlib.Path(directory) / f"perf-{name}"
        (control, self.control), (self.said, say) = os.pipe(), os.pipe()
        self.perf = subprocess.Popen(["perf", "stat", "-x", ",", "-o", str(self.out), "-e", ",".join(available().values()), "-D", "-1",
                                      "--control", f"fd:{control},{say}", "-p", str(pid)], pass_fds=(control, say),
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(control)
        os.close(say)

    def tell(self, word):
        try:
            os.write(self.control, f"{word}\n".encode())
            said = os.read(self.said, 16)
        except OSError as error:
            raise RuntimeError(f"perf ended: {error}") from error
        if not said.startswith(b"ack"):
            raise RuntimeError(f"perf does not {word}")

    def stop(self):
        self.tell("disable")

    def start(self):
        self.tell("enable")

    def close(self):
        """What it counted, if it was started."""
        if self.perf.poll() is None:
            self.perf.send_signal(signal.SIGINT)
        self.perf.wait(30)
        os.close(self.control)
        os.close(self.said)
        return parse(self.out) if self.out.exists() else {}


class Counted:
    """with Counted(directory, {name: pid}) as counted: the client runs by counted.wrap(argv). Then counted.per_jobs(n)."""

    def __init__(self, directory, pids):
        self.directory, self.pids, self.watches, self.values = pathlib.Path(directory), pids, {}, {}

    def __enter__(self):
        try:
            for name, pid in self.pids.items():
                self.watches[name] = Watch(self.directory, name, pid)
            for watch in self.watches.values():
                watch.start()
        except Exception:
            for watch in self.watches.values():
                watch.close()
            raise
        return self

    def wrap(self, argv):
        self.out = self.directory / "perf-client"
        return ["perf", "stat", "-x", ",", "-o", str(self.out), "-e", ",".join(available().values()), "--", *argv]

    def __exit__(self, kind, *_):
        for name, watch in self.watches.items():
            if kind is None:
                watch.stop()
            self.values[name] = watch.close()
        if kind is None:
            self.values["client"] = parse(self.out)

    def per_jobs(self, jobs):
        """Of every process, a hundred thousand jobs; the client's beginning and end are among its own."""
        return {name: {word: round(n * PER / jobs) for word, n in values.items()} for name, values in self.values.items()}
