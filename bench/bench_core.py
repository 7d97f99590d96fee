"""bench/run core: what a job costs the broker's core alone (no sockets): nanoseconds and bytes a job over the number of
workers, of jobs that wait, and of engines a sample; with valgrind also instructions a job, which no noise touches."""

import json
import re
import shutil
import subprocess
import sys

import kit

PROGRAM = kit.BENCH_PROGRAMS / "core" / "core_bench"
WORKERS = [1, 10, 100, 1000]
QUEUED = [0, 1_000, 10_000, 100_000, 1_000_000]
ENGINES = [1, 8]
PHASES = ["submit_ns", "dispatch_ns", "result_ns", "commit_ns"]
ROUND_JOBS = 1024  # core_bench.c


def measure(workers, queued, engines, rounds, *, under=()):
    done = subprocess.run([*under, str(PROGRAM), str(workers), str(queued), str(engines), str(rounds)],
                          text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"core_bench: {done.stderr}")
    return json.loads(done.stdout), done.stderr


def instructions(workers, queued, engines):
    """A job's instructions in steady state: what ten rounds more cost."""
    totals = []
    for rounds in (10, 20):
        words = measure(workers, queued, engines, rounds,
                        under=("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"))[1]
        totals.append(int(re.search(r"Collected : (\d+)", words).group(1)))
    return round((totals[1] - totals[0]) / (10 * ROUND_JOBS))


def cases():
    return ([("workers", w, 0, 1) for w in WORKERS] + [("queued", 1, q, 1) for q in QUEUED] +
            [("both", 1000, 1_000_000, 1)] + [("engines", 1, 0, e) for e in ENGINES])


def main():
    args = kit.arguments(__doc__, ("--rounds", 5, "runs of every case"), ("--turns", 300, "turns of 1,024 jobs in a run"))
    if args.quick:
        args.rounds, args.turns = 1, 50
    runs = {case: [] for case in cases()}
    for _ in range(args.rounds):
        for case in runs:
            runs[case].append(measure(*case[1:], args.turns)[0])
    rows = []
    for (curve, workers, queued, engines), results in runs.items():
        row = {"curve": curve, "workers": workers, "queued": queued, "engines": engines, "instructions": None}
        for key in [*PHASES, "total_ns", "queue_ns", "queued_bytes"]:
            row[key] = kit.median([r[key] for r in results])
        row["spread"] = kit.spread([r["total_ns"] for r in results])
        if shutil.which("valgrind") and queued <= 10_000:
            row["instructions"] = instructions(workers, queued, engines)
        rows.append(row)
        kit.say(f"{workers:5} workers {queued:8} queued {engines} engines: {row['total_ns']:6.0f} ns a job ({row['spread']}), "
                f"{row['instructions']} instructions, {row['queued_bytes']:.0f} bytes a queued job")
    write(args, rows)


def flat(rows, curve):
    values = [r["total_ns"] for r in rows if r["curve"] == curve]
    return max(values) / min(values)


def write(args, rows):
    table = (f"Median of {args.rounds} runs of {args.turns} turns. A turn: 1,024 jobs of 200 B of 16 owners in two bands submitted one "
             "by one, leased, answered one by one, committed one by one; deadlines, leases and grants as always. Messages are "
             "decoded RESULTs and structs for the rest; nothing is encoded on the way out. Bytes a queued job hold its 200 B.\n\n"
             "| workers | queued | engines | submit ns | dispatch ns | result ns | commit ns | sum ns a job | spread | instructions a job "
             "| queueing ns | bytes a queued job |\n|" + "---|" * 12 + "\n")
    for r in rows:
        table += (f"| {r['workers']} | {r['queued']} | {r['engines']} | " + " | ".join(f"{r[p]:.0f}" for p in PHASES) +
                  f" | {r['total_ns']:.0f} | {r['spread']} | {r['instructions'] or '-'} | {r['queue_ns']:.0f} | "
                  f"{r['queued_bytes']:.0f} |\n")
    data = "".join(f"${name} << EOD\n" + "".join(f"{max(r[name], 1)} {r['total_ns']}\n" for r in rows if r["curve"] == name) +
                   "EOD\n" for name in ("workers", "queued"))
    kit.write_results("core", {"rows": rows, "rounds": args.rounds, "turns": args.turns, "quick": args.quick}, table, data + """
set title "The broker's core alone: nanoseconds a job"
set logscale x
set xlabel "workers; jobs that wait"
set ylabel "ns a job"
set yrange [0:*]
set key bottom right
plot $workers using 1:2 with linespoints lw 2 lc rgb '#4466aa' title "over workers, none waiting", \\
     $queued using 1:2 with linespoints lw 2 lc rgb '#aa6644' title "over waiting jobs, one worker"
""")
    first, million = rows[0], next(r for r in rows if r["queued"] == 1_000_000)
    kit.last_line("core", ns=round(first["total_ns"]), instructions=first["instructions"] or 0, flat_workers=flat(rows, "workers"),
                  flat_queue=flat(rows, "queued"), bytes_per_job=round(million["queued_bytes"] - 200))


main()
