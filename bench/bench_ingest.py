"""bench/run ingest: different files of 4 KiB through the batch road with an engine that does nothing, to the verdict in
PostgreSQL; beside PostgreSQL's own binary COPY of the same rows into the same tables and indexes, in the same run."""

import os
import shutil
import sys
import time

import kit

TABLES = ["sample", "scan", "submission", "job"]  # in the order of their references


def make_files(directory, count):
    directory.mkdir()
    rng = kit.random.Random(11)
    for i in range(count):
        sub = directory / f"{i // 1000:03d}"
        sub.mkdir(exist_ok=True)
        (sub / f"{i:06d}").write_bytes(rng.randbytes(4096))


def copy_rate(stack, scratch):
    """The same rows by COPY: dumped, the tables emptied, and put back in one transaction."""
    dump = scratch / "dump"
    dump.mkdir()
    dump.chmod(0o777)
    rows = sum(int(stack.sql(f"select count(*) from {t}")[0][0]) for t in TABLES)
    for table in TABLES:
        stack.sql(f"copy {table} to '{dump}/{table}' (format binary)")
    stack.sql("truncate missing, poison, submission, job, scan, sample cascade")
    stack.sql("checkpoint")
    script = "begin;" + "".join(f"copy {t} from '{dump}/{t}' (format binary);" for t in TABLES) + "commit;"
    at = time.monotonic()
    stack.sql(script)
    seconds = time.monotonic() - at
    shutil.rmtree(dump)
    return rows, seconds


def one_round(scratch, number, files, count):
    config = "worker\n    engines = noop\n"
    with kit.Stack(scratch / f"state{number}", config) as stack:
        stack.wait_engines(["noop"])
        settings = {s: stack.sql(f"show {s}")[0][0] for s in ("fsync", "synchronous_commit", "full_page_writes")}
        units = {u["name"]: u["pid"] for u in kit.json.loads(stack.run("status", "--json").stdout)["supervisor"]["units"]}
        before = {name: kit.cpu_seconds(kit.family(pid)) for name, pid in units.items()}
        at = time.monotonic()
        stack.run("submit", "--wait", "--quiet", "--engines", "noop", "--priority", "batch", files, check=(0,))
        seconds = time.monotonic() - at
        cpu = {name: round(kit.cpu_seconds(kit.family(pid)) - before[name], 2) for name, pid in units.items()}
        done, verdicts, p50, p99 = stack.sql(
            "select count(*), count(verdict), percentile_cont(0.5) within group (order by extract(epoch from finished_at - submitted_at) * 1000),"
            " percentile_cont(0.99) within group (order by extract(epoch from finished_at - submitted_at) * 1000) from scan")[0]
        if int(done) != count or int(verdicts) != count:
            sys.exit(f"{done} scans and {verdicts} verdicts for {count} files")
        memory = stack.memory()
        rows, copy_s = copy_rate(stack, scratch)
    return {"seconds": seconds, "scans_per_s": count / seconds, "rows": rows, "rows_per_s": rows / seconds,
            "copy_rows_per_s": rows / copy_s, "of_copy": (rows / seconds) / (rows / copy_s), "p50_ms": float(p50),
            "p99_ms": float(p99), "memory_mib": memory, "cpu_s": cpu, "settings": settings}


def main():
    args = kit.arguments(__doc__, ("--files", 10_000, "files of 4 KiB"), ("--rounds", 3, "rounds"))
    if args.quick:
        args.files, args.rounds = 2_000, 1
    rounds = []
    with kit.Scratch() as scratch:
        files = scratch / "files"
        make_files(files, args.files)
        for number in range(args.rounds):
            r = one_round(scratch, number, files, args.files)
            rounds.append(r)
            kit.say(f"round {number + 1}: {r['scans_per_s']:.0f} scans/s, {r['rows_per_s']:.0f} rows/s, COPY {r['copy_rows_per_s']:.0f} "
                    f"rows/s, ratio {r['of_copy']:.2f}, p50 {r['p50_ms']:.0f} ms, p99 {r['p99_ms']:.0f} ms; cpu s {r['cpu_s']}; {r['settings']}")
    middle = {key: kit.median([r[key] for r in rounds]) for key in
              ("scans_per_s", "rows_per_s", "copy_rows_per_s", "of_copy", "p50_ms", "p99_ms")}
    cpu = {name: round(kit.median([r["cpu_s"][name] for r in rounds]), 2) for name in rounds[0]["cpu_s"]}
    last = rounds[-1]
    busy = sum(cpu.values()) / kit.median([r["seconds"] for r in rounds])
    table = f"""{args.files} different files of 4 KiB through the batch road, engine noop, durable before acknowledged
({', '.join(f'{k} {v}' for k, v in last['settings'].items())}), {args.rounds} rounds; medians.

| | |
|---|---|
| scans a second, files on disk to verdicts in PostgreSQL | {middle['scans_per_s']:.0f} |
| rows a second (sample, scan, submission, job) | {middle['rows_per_s']:.0f} |
| PostgreSQL's binary COPY of the same rows | {middle['copy_rows_per_s']:.0f} |
| ratio | {middle['of_copy']:.2f} |
| submit to verdict, p50 / p99 | {middle['p50_ms']:.0f} / {middle['p99_ms']:.0f} ms |

Memory (proportional, MiB): {', '.join(f'{k} {v}' for k, v in last['memory_mib'].items())}.
Processor seconds: {', '.join(f'{k} {v}' for k, v in cpu.items())}; {busy:.1f} of {os.cpu_count()} cores busy without the client.
"""
    kit.write_results("ingest", {"rounds": rounds, "files": args.files, "quick": args.quick, **middle}, table, f"""$data << EOD
ours {middle['rows_per_s']:.0f}
COPY {middle['copy_rows_per_s']:.0f}
EOD
set title "Rows a second: whole road to the verdict, beside COPY alone"
set ylabel "rows/s"
set yrange [0:*]
set style fill solid 0.6
set boxwidth 0.5
unset key
plot $data using 0:2:xtic(1) with boxes lc rgb '#4466aa'
""")
    kit.last_line("ingest", of_copy=middle["of_copy"], scans_per_s=round(middle["scans_per_s"]), p50_ms=round(middle["p50_ms"]),
                  p99_ms=round(middle["p99_ms"]))


main()
