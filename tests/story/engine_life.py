"""An engine's life while jobs go on: new rules and databases come, broken ones come, engines are added, removed, switched off
and on. Nobody waits, nothing fails, and what is reported is what was loaded."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

from stack import BUILD, SOURCE, Stack, run, until

YARA = 'rule %s { strings: $a = "%s" condition: $a }\n'
MARK = "phagescan life mark"


def rules(directory, *names):
    """One file for each rule, written as people do: in place."""
    for name in names:
        (directory / f"{name}.yar").write_text(YARA % (name, MARK))


def database(directory, name):
    """Replaced by a rename, as freshclam does."""
    new = directory / ".life.ndb"
    new.write_text(f"{name}:0:*:{MARK.encode().hex()}\n")
    new.rename(directory / "life.ndb")


def result_of(report, engine):
    return next(r for r in report["results"] if r["engine"] == engine)


def engine_of(stack, name):
    return next((e for e in stack.api("GET", "/engines").json["items"] if e["name"] == name), None)


class Stream:
    """Submits samples, four at a time, until it is stopped; keeps every report, in the order of submission."""

    def __init__(self, stack, engines):
        self.stack, self.engines, self.n, self.reports, self.trouble = stack, engines, 0, {}, []
        self.over, self.lock = threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.work) for _ in range(4)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.over.set()
        for thread in self.threads:
            thread.join(120)
        if not kind:
            assert not self.trouble, self.trouble

    def work(self):
        while not self.over.is_set():
            with self.lock:
                n = self.n
                self.n += 1
            try:
                report = self.stack.oneshot(f"{MARK} number {n}\n".encode(), f"life-{n}", engines=self.engines)
                self.reports[n] = report
            except BaseException as error:  # told at the end, in the thread that waits
                self.trouble.append(error)
                return

    def labels(self, engine):
        """label by number"""
        return {n: result_of(report, engine)["label"] for n, report in sorted(self.reports.items())}

    def wait_label(self, engine, label):
        until(lambda: self.trouble or label in self.labels(engine).values(), 60, f"{engine} to say {label}")

    def check(self, engine, *order):
        """Every job was answered, and the labels came one after the other, with definitions of their own each."""
        definitions = {}
        for n, report in sorted(self.reports.items()):
            result = result_of(report, engine)
            assert result["outcome"] in ("malicious", "suspicious"), (n, result)
            definitions.setdefault(result["label"], set()).add(result["definitions"])
        assert set(definitions) == set(order), (definitions, order)
        assert all(len(kept) == 1 for kept in definitions.values()), definitions
        assert len(set().union(*definitions.values())) == len(order), definitions


@contextlib.contextmanager
def ground(engines, **more):
    signatures = None
    with contextlib.ExitStack() as ends:
        top = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="phagescan-life.")))
        top.chmod(0o755)
        signatures = top / "signatures"
        for name in ("clamav", "yara"):
            (signatures / name).mkdir(parents=True)
        rules(signatures / "yara", "Before")
        database(signatures / "clamav", "Before")
        yield ends.enter_context(Stack(engines=engines, signatures=signatures, **more)), signatures


def new_definitions_come_in_while_jobs_go_on():
    with ground(["clamav", "yara", "type"]) as (stack, signatures):
        with Stream(stack, "clamav,yara") as stream:
            stream.wait_label("yara", "Before")
            stream.wait_label("clamav", "Before.UNOFFICIAL")
            (signatures / "yara" / "Before.yar").write_text(YARA % ("After", MARK))
            database(signatures / "clamav", "After")
            stream.wait_label("yara", "After")
            stream.wait_label("clamav", "After.UNOFFICIAL")
        stream.check("yara", "Before", "After")
        stream.check("clamav", "Before.UNOFFICIAL", "After.UNOFFICIAL")
        assert len(stream.reports) == stream.n, (len(stream.reports), stream.n)
        assert engine_of(stack, "yara")["lost"] == engine_of(stack, "clamav")["lost"] == 0


def a_broken_rule_file_changes_nothing():
    with ground(["yara", "type"]) as (stack, signatures):
        with Stream(stack, "yara") as stream:
            stream.wait_label("yara", "Before")
            (signatures / "yara" / "Before.yar").write_text("rule After { condition: nonsense }\n")
            note = until(lambda: (engine_of(stack, "yara") or {}).get("note"), 60, "a note")
            assert "not taken" in note and "Before.yar" in note, note
            told = stack.cli("engines").stdout + stack.cli("workers").stdout
            assert told.count("not taken") == 2, told
            seen = stream.n
            until(lambda: stream.n > seen + 8 or stream.trouble, 60, "more jobs")
            (signatures / "yara" / "Before.yar").write_text(YARA % ("After", MARK))
            stream.wait_label("yara", "After")
            until(lambda: not engine_of(stack, "yara")["note"], 60, "no note")
        stream.check("yara", "Before", "After")


def engines_come_and_go_with_their_directories():
    with ground(None) as (stack, _):
        own = stack.state / "own-engines"
        source = BUILD / "engines" / "crashy" / "crashy.so"
        note = until(lambda: (engine_of(stack, "crashy") or {}).get("note"), 30, "the shipped one")
        assert "obeys" in note, note

        (own / "crashy").mkdir(parents=True)
        (own / "crashy").chmod(0o755)
        own.chmod(0o755)
        mine = own / "crashy" / "crashy.so"
        new = own / "crashy" / ".new"
        shutil.copy(source, new)
        new.chmod(0o666)
        new.rename(mine)
        until(lambda: "written by others" in (engine_of(stack, "crashy")["note"] or ""), 30, "a refusal")
        assert stack.oneshot(b"CRASHY malicious Here\n", engines="crashy")["results"][0]["outcome"] == "malicious"
        mine.chmod(0o644)
        until(lambda: "written by others" not in (engine_of(stack, "crashy")["note"] or ""), 30, "the refusal's end")

        mine.unlink()
        mine.write_bytes(b"not a plug-in\n")
        mine.chmod(0o644)
        until(lambda: "not taken" in (engine_of(stack, "crashy")["note"] or ""), 30, "a complaint")
        shutil.rmtree(own / "crashy")
        until(lambda: "not taken" not in (engine_of(stack, "crashy")["note"] or ""), 30, "the shipped one")

        with Stream(stack, "yara") as stream:
            stream.wait_label("yara", "Before")
            (own / "second").mkdir()
            (own / "second" / "second.so").write_bytes(b"no plug-in either\n")
            until(lambda: (engine_of(stack, "second") or {}).get("problem"), 30, "the new engine")
            shutil.rmtree(own / "second")
            until(lambda: not any(e["name"] == "second" for w in stack.api("GET", "/workers").json["items"]
                                  for e in w["engines"]), 30, "its end")
        stream.check("yara", "Before")


def orders_reach_the_workers():
    with ground(["yara", "type"]) as (stack, signatures):
        told = stack.cli("engine", "reload", "yara", timeout=60)
        assert told.returncode == 0 and "done" in told.stdout and "as before" in told.stdout, (told.stdout, told.stderr)
        with Stream(stack, "yara") as stream:
            stream.wait_label("yara", "Before")
            (signatures / "yara" / "Before.yar").write_text("rule After { condition: nonsense }\n")
            told = stack.cli("engine", "reload", "yara", timeout=60)
            assert told.returncode == 2 and "refused" in told.stdout and "Before.yar" in told.stdout, told.stdout
            (signatures / "yara" / "Before.yar").write_text(YARA % ("After", MARK))
            told = stack.cli("engine", "reload", "yara", "--json", timeout=60)
            part = json.loads(told.stdout)["items"][0]
            assert part["state"] == "done" and part["before"] != part["after"], part
            stream.wait_label("yara", "After")
        stream.check("yara", "Before", "After")

        told = stack.cli("engine", "off", "yara", timeout=60)
        assert told.returncode == 0 and "it is off" in told.stdout, told.stdout
        until(lambda: engine_of(stack, "yara")["problem"] == "it is switched off", 30, "the engine to be off")
        told = stack.cli("engine", "on", "yara", "--worker", stack.api("GET", "/workers").json["items"][0]["name"], timeout=60)
        assert told.returncode == 0 and "it is on" in told.stdout, told.stdout
        until(lambda: engine_of(stack, "yara")["available"], 30, "the engine to be on")
        assert stack.oneshot(MARK.encode() + b" again", engines="yara")["results"][0]["outcome"] == "suspicious"

        told = stack.cli("engine", "reload", "nothing", timeout=60)
        assert told.returncode == 2 and "no worker has" in told.stderr, told.stderr
        order = stack.api("POST", "/engines/yara/reload").json["order"]
        until(lambda: stack.api("GET", f"/orders/{order}").json["over"], 60, "the order")
        assert stack.api("GET", "/orders/999999").status == 404


def probe_tells_in_words():
    """No broker, no database: what the worker's machine can do."""
    with tempfile.TemporaryDirectory(prefix="phagescan-life.") as top:
        top = pathlib.Path(top)
        top.chmod(0o755)
        (top / "signatures" / "yara").mkdir(parents=True)
        rules(top / "signatures" / "yara", "Before")
        (top / "own-engines" / "broken").mkdir(parents=True, mode=0o755)
        (top / "own-engines" / "broken" / "broken.so").write_bytes(b"nothing\n")
        command = [BUILD / "worker" / "phagescan-worker", "--probe", "--account-services", "none", "--engine-dir", BUILD / "engines",
                   "--enginehost", BUILD / "worker/host/phagescan-enginehost", "--signatures", top / "signatures", "--tmp-dir",
                   top / "tmp", "--engines", "yara,hashes,broken"]
        told = []
        for more in ([], ["--landlock-abi", "2"]):
            done = subprocess.run([*command, *more], env=dict(os.environ, PHAGESCAN_STATE=str(top)), text=True,
                                  capture_output=True, timeout=60)
            assert done.returncode == 0, (done.stdout, done.stderr)
            told.append(done.stdout)
        engines, isolation = told[0].split("\nIsolation: ")
        yara = engines.split("yara: ")[1]
        for line in ("can be used\n", "    installed: judges files, version ", "    licence: without limit or end\n",
                     "    definitions: ", ", 1 signature, of the set: site, less than an hour old\n", "    walls: "):
            assert line in yara, (line, yara)
        assert "hashes: can be used\n    installed: describes files, version" in engines, engines
        assert "    definitions: it needs none\n" in engines, engines
        assert "broken: can't be used: the plug-in can't be loaded" in engines, engines
        assert isolation.startswith(("full\n  an engine that a sample takes over", "weaker: ")), isolation
        assert "  Landlock ABI: this kernel can't keep" in told[1] or "no Landlock" in told[1], told[1]


MORTAL = r"""
#include "engines/engine.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int probe(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    const char *program = conf->setting(conf, "program");
    if (program && access(program, F_OK) == 0)
        return 0;
    snprintf(err, err_max, "not installed: the program is gone");
    return -1;
}

static void info(void *engine, struct ps_engine_info *ret_info)
{
    ret_info->version = "1";
    ret_info->licence_scans = 2;
    ret_info->licence_ends_at = time(NULL) + 10 * 86400 + 3600;
}

static enum ps_found scan(void *engine, const struct ps_engine_sample *sample, const struct ps_engine_report *report)
{
    char text[4] = "";
    if (pread(sample->fd, text, 4, 0) == 4 && memcmp(text, "fail", 4) == 0)
        return PS_FOUND_FAILURE;
    return PS_FOUND_UNDETECTED;
}

const struct ps_engine ps_engine_entry = {.abi = PS_ENGINE_ABI, .size = sizeof(struct ps_engine), .name = "mortal",
    .kind = PS_ENGINE_EVILNESS, .licence = "MIT", .at_once = 1, .probe = probe, .info = info, .scan = scan};
"""


def an_engine_is_watched_while_it_runs():
    """Its program vanishes: the broker learns at once; it comes back: so does the engine."""
    with ground(["type", "mortal"], start=("broker", "master"), options={"broker": ["--limit-hold", "0ms"]}) as (stack, _):
        home = stack.state / "own-engines" / "mortal"
        home.mkdir(parents=True)
        program = stack.dir / "program"
        program.write_text("here")
        subprocess.run(["cc", "-shared", "-fPIC", "-I", SOURCE, "-x", "c", "-", "-o", home / "mortal.so"], input=MORTAL,
                       text=True, check=True)
        for part in (home.parent, home, home / "mortal.so"):
            part.chmod(0o755)
        stack.options["worker"] = ["--set", f"mortal.program={program}"]
        stack.start("worker")
        stack.wait_engines(["mortal"])
        told = engine_of(stack, "mortal")
        assert told["at_once"] == 1 and told["licence_scans"] == 2, told
        assert told["licence_left_s"] > 10 * 86400 and told["note"].startswith("licence ends on 20"), told
        assert stack.oneshot(b"well", engines="mortal")["results"][0]["outcome"] == "undetected"
        program.unlink()
        assert stack.oneshot(b"fail 1", engines="mortal")["results"][0]["outcome"] == "failure"
        until(lambda: engine_of(stack, "mortal")["problem"] == "not installed: the program is gone", 30, "the engine to go")
        assert not engine_of(stack, "mortal")["available"]
        program.write_text("here")
        until(lambda: engine_of(stack, "mortal")["available"], 60, "the engine to come back")
        assert stack.oneshot(b"well again", engines="mortal")["results"][0]["outcome"] == "undetected"


if __name__ == "__main__":
    run(new_definitions_come_in_while_jobs_go_on, a_broken_rule_file_changes_nothing,
        engines_come_and_go_with_their_directories, orders_reach_the_workers, probe_tells_in_words,
        an_engine_is_watched_while_it_runs)
