"""bench/run control: what samples in transfer cost small jobs: their latency through the broker while 100 samples of
100 MiB go through it to the same workers, against an idle broker, in one run. Interleaved rounds, medians.

Two cases: `shared`, the small jobs go to the workers that the samples go to (the headline); `line`, the same with one
worker, whose one connection carries everything."""

import pathlib
import tempfile

import kit
from peers import Crew, Ours, client_of, numbers

MASTER = kit.BENCH_PROGRAMS / "control" / "control_master"
LARGE = 100
MIB = 100
CASES = {"shared": {"sessions": 4, "threads": 1}, "line": {"sessions": 1, "threads": 1, "queued": 40}}  # its worker holds 64 transfers
SETTINGS = {"jobs": 5000, "size": 200, "window": 1, "queued": LARGE, "credit": 128}


class Control(Ours):
    def run(self, scratch, case):
        with Crew(scratch) as crew:
            broker = self.start_broker(crew)
            worker = self.start_worker(crew, case)
            argv = [MASTER, "client", "--endpoint", self.endpoint, *numbers(case, "jobs", "size", "window", "queued")]
            return client_of(crew, argv, {"broker": broker, "worker": worker}, case)


def rounds_of(args, scratch):
    found = {name: [] for name in CASES}
    for i in range(args.rounds):
        for name, settings in CASES.items():
            with tempfile.TemporaryDirectory(dir=scratch) as directory:
                case = {**SETTINGS, **settings}
                if args.quick:
                    case["queued"] = max(case["queued"] // 10, 8)
                found[name].append(Control().run(pathlib.Path(directory), case))
            r = found[name][-1]
            kit.say(f"{name} {i + 1}: idle p99 {r['idle']['p99_us']:.0f} us, loaded p99 {r['loaded']['p99_us']:.0f} us "
                    f"({r['loaded']['n']} jobs), {r['mib_s']:.0f} MiB/s")
    return found


def middle(rounds):
    m = {f"{part}_{key}": kit.median([r[part][key] for r in rounds]) for part in ("idle", "loaded") for key in ("p50_us", "p99_us")}
    m["mib_s"] = kit.median([r["mib_s"] for r in rounds])
    m["ratio"] = m["loaded_p99_us"] / m["idle_p99_us"]
    m["spread"] = kit.spread([r["loaded"]["p99_us"] for r in rounds])
    return m


def main():
    args = kit.arguments(__doc__, ("--rounds", 3, "rounds of each case"))
    with kit.Scratch() as scratch:
        found = rounds_of(args, scratch)
    result = {name: middle(rounds) for name, rounds in found.items()}
    text = (f"Small jobs (200 B, one at a time) while samples of {MIB} MiB are in transfer.\n\n"
            "| case | idle p50 us | idle p99 us | loaded p50 us | loaded p99 us | spread | ratio of p99 | MiB/s |\n|---|---|---|---|---|---|---|---|\n")
    for name, m in result.items():
        text += (f"| {name} | {m['idle_p50_us']:.0f} | {m['idle_p99_us']:.0f} | {m['loaded_p50_us']:.0f} | {m['loaded_p99_us']:.0f} | "
                 f"{m['spread']} | {m['ratio']:.1f} | {m['mib_s']:.0f} |\n")
    text += f"\nshared: {LARGE} samples to four workers; line: 40 to one. Client, broker and workers share the machine's cores.\n"
    rows = "\n".join(f"{name} {m['idle_p99_us']:.1f} {m['loaded_p99_us']:.1f}" for name, m in result.items())
    kit.write_results("control", {"settings": SETTINGS, "cases": CASES, "large_mib": MIB, "median": result, "rounds": found}, text,
                      f"$data << EOD\n{rows}\nEOD\nset style data histogram\nset style fill solid 0.8\nset logscale y\n"
                      "set ylabel 'p99 of small jobs, us'\nset key top left\n"
                      "plot $data using 2:xtic(1) title 'idle', '' using 3 title 'samples in transfer'\n")
    m = result["shared"]
    kit.last_line("control", idle_p99_us=m["idle_p99_us"], loaded_p99_us=m["loaded_p99_us"], ratio=m["ratio"])


if __name__ == "__main__":
    main()
