"""The jail bench's programs do what they are timed for: calls come back, a killed child is replaced, the corpus is found out
alike with and without the jail, and what goes wrong ends them. Nothing is timed."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

BUILD = pathlib.Path(os.environ["PHAGESCAN_TEST_BUILD"])
JAIL = BUILD / "bench" / "jail"
SIGNATURES = pathlib.Path(__file__).resolve().parents[2] / "engines" / "clamav" / "signatures"
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD" + b"-ANTIVIRUS-TEST-FILE!$H+H*"
CALLS = 5


def start(program, *words, say=""):
    return subprocess.run([str(JAIL / program), *map(str, words)], input=say, text=True, capture_output=True, timeout=120)


def calls(case, *words):
    done = start("jail_calls", case, CALLS, *words)
    assert done.returncode == 0, (case, done.stderr)
    return json.loads(done.stdout)


def host(engine, tmp, signatures=""):
    return [BUILD / "worker" / "host" / "phagescan-enginehost", engine, tmp, signatures]


def calls_come_back(tmp):
    noop = host(BUILD / "engines" / "noop" / "noop.so", tmp)
    for times in (calls("fork", 100), calls("handoff", 100, *noop)):
        for part in ("have", "result", "whole"):
            assert times[part]["n"] == CALLS and 0 < times[part]["least"] <= times[part]["p50"] <= times[part]["p99"], times
    times = calls("restart", *noop)
    assert times["exited"]["least"] < times["ready"]["least"] < times["have"]["least"], times
    assert calls("exec", "/usr/bin/true")["exec"]["n"] == CALLS


def a_tool_runs_in_its_jail(tmp):
    assert calls("handoff", 100, *host(JAIL / "tool.so", tmp))["result"]["n"] == CALLS


def failures_end_the_program(tmp):
    assert start("jail_calls", "exec", 1, "/usr/bin/false").returncode != 0
    assert start("jail_calls", "handoff", 1, 100, *host(tmp / "nowhere.so", tmp)).returncode != 0
    assert start("jail_calls", "handoff", "many", 100).returncode != 0
    # An engine that fails each job: the type engine answers "described", which no noop does.
    done = start("jail_calls", "handoff", 1, 100, *host(BUILD / "engines" / "type" / "type.so", tmp))
    assert done.returncode != 0 and "described" in done.stderr, done


def the_jail_finds_what_libclamav_finds(tmp):
    corpus, database = tmp / "corpus", tmp / "database"
    corpus.mkdir(), database.mkdir()
    for path in SIGNATURES.glob("*.[hn]*b"):
        shutil.copyfile(path, database / path.name)
    for i in range(7):
        (corpus / f"plain-{i}").write_bytes(b"nothing to see\n" * i)
    for i in range(3):
        (corpus / f"eicar-{i}").write_bytes(EICAR)
    say = "round\nround\n"
    ours = start("jail_ours", *host(BUILD / "engines" / "clamav" / "clamav.so", tmp, database), 2, corpus, "--set=cache_off=1",
                 say=say + "children\n")
    bare = start("jail_bare", tmp, database, 2, corpus, say=say)
    for done in (ours, bare):
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and lines[0] == "ready", done
        assert [(r["hits"], r["files"]) for r in map(json.loads, lines[1:3])] == [(3, 10)] * 2, done
    assert len(set(json.loads(ours.stdout.splitlines()[3])["children"])) == 2, ours


def main():
    for story in (calls_come_back, a_tool_runs_in_its_jail, failures_end_the_program, the_jail_finds_what_libclamav_finds):
        with tempfile.TemporaryDirectory(prefix="phagescan-bench-jail.") as name:
            tmp = pathlib.Path(name)
            tmp.chmod(0o711)  # as root the engine host becomes somebody else, and must get through
            story(tmp)
            print("ok", story.__name__)


main()
