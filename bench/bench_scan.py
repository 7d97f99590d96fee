"""bench/run scan: a corpus through Phagescan, all the way to PostgreSQL, beside clamdscan on the same signatures.

Both scan the same files with the same set, the same number of slots, libclamav's and clamd's caches off, the clamav engine
alone; three rounds, in turn, each on a fresh state (nothing known, nothing stored). Files a second are taken around the
whole command, as a person waits for it."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

import kit
import signatures

SLOTS = os.cpu_count()


def make_corpus(directory, count):
    """Ordinary files of /usr (a seeded choice, 1 byte to 8 MiB) and clamav-testfiles."""
    found = []
    for base in ("/usr/bin", "/usr/lib", "/usr/share", "/usr/sbin"):
        for where, _, names in os.walk(base):
            for name in names:
                path = os.path.join(where, name)
                if os.path.isfile(path) and not os.path.islink(path) and 0 < os.path.getsize(path) <= 8 << 20:
                    found.append(path)
    directory.mkdir()
    for i, path in enumerate(kit.sample_of(found, count, seed=7)):
        shutil.copyfile(path, directory / f"{i:05d}-{os.path.basename(path)[:80]}")
    for path in pathlib.Path("/usr/share/clamav-testfiles").glob("*"):
        shutil.copyfile(path, directory / path.name)
    for path in directory.iterdir():
        path.chmod(0o644)
    files = list(directory.iterdir())
    return len(files), sum(f.stat().st_size for f in files)


class Clamd:
    """A clamd of our own: UNIX socket, the given set, no cache, as many threads as we have slots."""

    def __init__(self, scratch, database):
        self.dir = scratch / "clamd"
        self.dir.mkdir()
        self.dir.chmod(0o777)
        self.conf = self.dir / "clamd.conf"
        self.conf.write_text(f"LocalSocket {self.dir}/sock\nDatabaseDirectory {database}\nForeground yes\nMaxThreads {SLOTS}\n"
                             f"DisableCache yes\nLogFile {self.dir}/log\nTemporaryDirectory {self.dir}\nExitOnOOM yes\n"
                             "OfficialDatabaseOnly no\nAlertExceedsMax yes\nUser root\n")

    def __enter__(self):
        self.process = subprocess.Popen(["clamd", "-c", str(self.conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 180
        while time.monotonic() < end and self.process.poll() is None:
            if subprocess.run(["clamdscan", "-c", str(self.conf), "--ping", "1"], capture_output=True).returncode == 0:
                return self
        sys.exit(f"clamd did not start: {(self.dir / 'log').read_text()[-1000:]}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def scan(self, corpus):
        before = kit.cpu_seconds(kit.family(self.process.pid))
        at = time.monotonic()
        done = subprocess.run(["clamdscan", "-c", str(self.conf), "--multiscan", "--fdpass", "--no-summary", "--infected",
                               str(corpus)], text=True, capture_output=True)
        seconds = time.monotonic() - at
        cpu = kit.cpu_seconds(kit.family(self.process.pid)) - before
        return seconds, sum(line.endswith(" FOUND") for line in done.stdout.splitlines()), cpu


def scan_ours(stack, corpus):
    units = {u["name"]: u["pid"] for u in kit.json.loads(stack.run("status", "--json").stdout)["supervisor"]["units"]}
    before = {name: kit.cpu_seconds(kit.family(pid)) for name, pid in units.items()}
    at = time.monotonic()
    done = stack.run("submit", "--wait", "--json", "--engines", "clamav", "--priority", "batch", corpus)
    seconds = time.monotonic() - at
    cpu = {name: round(kit.cpu_seconds(kit.family(pid)) - before[name], 2) for name, pid in units.items()}
    lines = [kit.json.loads(line) for line in done.stdout.splitlines()]
    return seconds, lines, cpu


def main():
    args = kit.arguments(__doc__, ("--files", 1500, "ordinary files"), ("--signatures", 1_000_000, "synthetic signatures"),
                         ("--rounds", 3, "rounds"))
    if args.quick:
        args.files, args.signatures, args.rounds = 300, 100_000, 2
    ours, theirs, cpus, clamd_cpus, found = [], [], [], [], set()
    with kit.Scratch() as scratch:
        corpus, database = scratch / "corpus", scratch / "signatures"
        n, size = make_corpus(corpus, args.files)
        signatures.make(database, args.signatures)
        for path in pathlib.Path(kit.PREFIX, "engines", "clamav", "signatures").glob("*.[hn]*b"):
            shutil.copyfile(path, database / path.name)
        kit.say(f"{n} files, {size / 1e6:.1f} MB, {args.signatures} synthetic signatures and the bundled ones, {SLOTS} slots")
        for number in range(args.rounds):
            with Clamd(scratch, database) as clamd:
                b, hits, clamd_cpu = clamd.scan(corpus)
            config = "worker\n    engines = clamav\n    set = clamav.cache_off=1\n"
            with kit.Stack(scratch / f"state{number}", config, signatures=database, slots=SLOTS) as stack:
                stack.wait_engines(["clamav"])
                a, lines, cpu = scan_ours(stack, corpus)
                memory = stack.memory()
            verdicts = [line.get("verdict") for line in lines]
            if len(lines) != n or None in verdicts:
                sys.exit(f"{len(lines)} lines for {n} files, {verdicts.count(None)} without a verdict")
            found.add((verdicts.count("malicious"), hits))
            ours.append(a), theirs.append(b), cpus.append(cpu), clamd_cpus.append(clamd_cpu)
            kit.say(f"round {number + 1}: ours {n / a:.0f} files/s ({size / a / 1e6:.1f} MB/s, {verdicts.count('malicious')} "
                    f"malicious), clamdscan {n / b:.0f} files/s ({size / b / 1e6:.1f} MB/s, {hits} found); cpu s {cpu}, clamd {clamd_cpu:.2f}")
    if any(ours_hits < hits for ours_hits, hits in found):
        sys.exit(f"clamdscan found more than we did: {found}")
    a, b = kit.median(ours), kit.median(theirs)
    ratio = b / a
    cpu = {name: round(kit.median([c[name] for c in cpus]), 2) for name in cpus[0]}
    clamd_cpu = kit.median(clamd_cpus)
    data = {"files": n, "bytes": size, "signatures": args.signatures, "slots": SLOTS, "rounds": args.rounds, "quick": args.quick,
            "ours_s": ours, "clamdscan_s": theirs, "ratio": ratio, "cpu_s": cpu, "clamd_cpu_s": clamd_cpu, "memory_mib": memory}
    table = f"""{n} files, {size / 1e6:.1f} MB, {args.signatures} synthetic signatures, {SLOTS} slots, caches off, {args.rounds} rounds in turn.

| | files/s, median | spread | MB/s |
|---|---|---|---|
| phagescan submit --wait, to PostgreSQL | {n / a:.0f} | {kit.spread([n / s for s in ours])} | {size / a / 1e6:.1f} |
| clamdscan --multiscan --fdpass | {n / b:.0f} | {kit.spread([n / s for s in theirs])} | {size / b / 1e6:.1f} |

Ratio {ratio:.2f}. Where our time goes (processor seconds, median): {', '.join(f'{k} {v}' for k, v in cpu.items())}; clamd's: {clamd_cpu:.2f}.
The worker's is the engine's work and what carrying it costs; the rest is what clamdscan does not do: files made durable
before they are acknowledged, rows, verdicts, events, progress.
Memory (proportional, MiB): {', '.join(f'{k} {v}' for k, v in memory.items())}.
"""
    kit.write_results("scan", data, table, f"""$data << EOD
phagescan {n / a:.1f} {n / max(ours):.1f} {n / min(ours):.1f}
clamdscan {n / b:.1f} {n / max(theirs):.1f} {n / min(theirs):.1f}
EOD
set title "Scanning {n} files to a verdict, {SLOTS} slots"
set ylabel "files/s"
set yrange [0:*]
set style fill solid 0.6
set boxwidth 0.5
unset key
plot $data using 0:2:xtic(1) with boxes lc rgb '#4466aa', $data using 0:2:3:4 with errorbars lc rgb '#222222'
""")
    kit.last_line("scan", ratio=ratio, files_per_s=n / a, clamdscan_files_per_s=n / b)


if __name__ == "__main__":
    main()
