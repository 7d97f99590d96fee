"""phagescan submit, report, engines, workers against the real programs: what they print, their exit statuses, sweeps that
are killed and go on, a server that goes and comes back."""

import contextlib
import hashlib
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from bad_kit import Ground, all_done, count, tell
from stack import BUILD, SOURCE, eicar, until

CLI = BUILD / "cli/phagescan"
MIB = 1024 * 1024
LIMIT = 12 * MIB  # of a sample, here


def site_set():
    """The bundled signatures, as a site's own: their silence counts."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="phagescan-site."))
    directory.chmod(0o755)
    for engine in ("clamav", "yara"):
        shutil.copytree(SOURCE / "engines" / engine / "signatures", directory / engine,
                        ignore=shutil.ignore_patterns("meson.build", "README.md"))
        (directory / engine / "ORIGIN").write_text("site\n")
    return directory


SITE = site_set()
ground = Ground(engines=["clamav", "yara", "type", "hashes"], signatures=SITE,
                options={"master": ["--max-sample-bytes", str(LIMIT)]})


def folder(stack, name, **files):
    """A fresh directory with files: text, bytes, or a size."""
    directory = stack.dir / name
    directory.mkdir()
    for file, what in files.items():
        path = directory / file.replace("_", ".", 1)
        if isinstance(what, int):
            with open(path, "wb") as f:
                f.write(os.urandom(64))
                f.truncate(what)
        else:
            path.write_bytes(what if isinstance(what, bytes) else what.encode())
    return directory


def many(stack, name, n, prefix="file"):
    directory = stack.dir / name
    for i in range(n):
        path = directory / f"d{i % 7}" / f"{prefix}{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{name} {i}\n".encode())
    return directory


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows_of(stack, directory):
    """How many submissions there are of each path below a directory."""
    return {path: int(n) for path, n in stack.postgres.sql(
        f"select source_path, count(*) from submission where source_path like '{directory}/%' group by 1")}


def each_path_once(stack, directory):
    want = {str(p) for p in directory.rglob("*") if p.is_file()}
    have = rows_of(stack, directory)
    assert set(have) == want, (sorted(want - set(have))[:5], sorted(set(have) - want)[:5])
    assert set(have.values()) == {1}, [p for p, n in have.items() if n > 1][:5]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ---- what is printed, and how it ends ----

def lines_and_exit_statuses(stack):
    clean = folder(stack, "clean", a_txt="nothing here\n", b_bin=b"\0\1\2", empty="")
    done = stack.cli("submit", "--wait", clean)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert f"{clean}/a.txt: nothing-found 0/2\n" in done.stdout and f"{clean}/empty: nothing-found 0/2\n" in done.stdout
    assert "\n3 files, 16 B in " in done.stdout, done.stdout
    assert "0 malicious, 0 suspicious, 3 nothing found, 0 known good, 0 inconclusive, 0 errors" in done.stdout

    mixed = folder(stack, "mixed", eicar_com=eicar(), b_txt="nothing\n")
    done = stack.cli("submit", "--wait", mixed)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert f"{mixed}/eicar.com: malicious 2/2 " in done.stdout and "1 malicious, 0 suspicious, 1 nothing found" in done.stdout
    done = stack.cli("submit", "--wait", "--quiet", mixed)
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 1 and "eicar.com" in done.stdout, done.stdout

    missing = stack.dir / "missing"
    done = stack.cli("submit", "--wait", clean, missing)
    assert done.returncode == 2 and done.stderr == f"{missing}: No such file or directory\n", done.stderr
    assert "3 nothing found" in done.stdout and "1 errors" in done.stdout
    assert stack.cli("submit", "--wait", mixed, missing).returncode == 1, "something found wins over errors"


def folders_from_their_inside(stack):
    """Short paths below the directory where one is."""
    clean = folder(stack, "inside", a_txt="inside\n")
    done = stack.cli("submit", "--wait", ".", cwd=clean)
    assert done.returncode == 0 and done.stdout.startswith("a.txt: nothing-found 0/2\n"), done.stdout
    assert rows_of(stack, clean) == {f"{clean}/a.txt": 1}


def json_lines(stack):
    directory = folder(stack, "json", eicar_com=eicar(), clean_txt="clean\n")
    done = stack.cli("submit", "--wait", "--json", directory, stack.dir / "gone")
    assert done.returncode == 1 and done.stderr == "", (done.stdout, done.stderr)
    told = {pathlib.Path(line["path"]).name: line for line in lines(done)}
    assert set(told) == {"eicar.com", "clean.txt", "gone"}
    assert told["gone"] == {"path": str(stack.dir / "gone"), "error": "No such file or directory"}
    found = told["eicar.com"]
    assert (found["verdict"], found["positives"], found["total"]) == ("malicious", 2, 2), found
    assert found["sha256"] == sha256(eicar()) and found["label"] and found["reasons"] and found["type"] == "text/plain"
    assert told["clean.txt"]["verdict"] == "nothing-found" and told["clean.txt"]["label"] is None


def without_waiting(stack):
    """The default where no terminal is: acknowledged is done."""
    directory = folder(stack, "nowait", one_txt="no wait\n")
    for args in (["--no-wait"], []):
        done = stack.cli("submit", *args, directory)
        assert done.returncode == 0 and f"{directory}/one.txt: submitted {sha256(b'no wait' + bytes([10]))}" in done.stdout, done
    done = stack.cli("submit", "--json", directory)
    told = lines(done)[0]
    assert set(told) == {"path", "sha256", "submission", "scan", "known"} and told["known"] is True, told
    until(lambda: stack.cli("report", directory / "one.txt").returncode == 0, what="a verdict in the report")


def table(stack):
    directory = folder(stack, "table", eicar_com=eicar(), clean_txt="table\n")
    done = stack.cli("submit", "--table", directory)
    assert done.returncode == 1
    head, *rows = done.stdout.splitlines()[:3]
    assert head.split() == ["file", "type", "verdict", "N/M", "label", "or", "reason"], head
    by_name = {pathlib.Path(row.split()[0]).name: row.split()[1:] for row in rows}
    assert by_name["clean.txt"] == ["text/plain", "nothing-found", "0/2"], rows
    assert by_name["eicar.com"][:3] == ["text/plain", "malicious", "2/2"] and len(by_name["eicar.com"]) == 4, rows


def standard_input(stack):
    done = stack.cli("submit", "--wait", "-", input=eicar().decode())
    assert done.returncode == 1 and done.stdout.startswith("stdin: malicious 2/2"), (done.stdout, done.stderr)
    done = stack.cli("submit", "--wait", "--json", "--name", "mail.eml", "-", input="a clean mail\n")
    assert done.returncode == 0 and lines(done)[0]["path"] == "mail.eml", done.stdout
    assert stack.postgres.sql("select source_path is null from submission where name = 'mail.eml'") == [["t"]]

    large = os.urandom(9 * MIB)
    done = subprocess.run([str(CLI), "submit", "--wait", "--json", "-"], env=stack.env, input=large, capture_output=True)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert json.loads(done.stdout)["sha256"] == sha256(large)

    done = subprocess.run([str(CLI), "submit", "--wait", "-"], env=stack.env, input=bytes(LIMIT + 1), capture_output=True)
    assert done.returncode == 2 and f"longer than the limit of {LIMIT} bytes".encode() in done.stderr, done.stderr


def excluded_and_chosen(stack):
    directory = folder(stack, "choose", keep_txt="keep\n", drop_iso="drop\n")
    (directory / ".git").mkdir()
    (directory / ".git/object").write_text("x")
    done = stack.cli("submit", "--wait", "--json", "--exclude", "*.iso,.git", "--engines", "hashes,clamav", "--tags", "a,b",
                     "--priority", "interactive", "--visibility", "team", directory)
    assert done.returncode == 0, (done.stdout, done.stderr)
    told = lines(done)
    assert [pathlib.Path(line["path"]).name for line in told] == ["keep.txt"] and told[0]["total"] == 1, told
    submission = stack.api("GET", f"/submissions/{told[0]['submission']}").json
    assert submission["tags"] == ["a", "b"] and submission["visibility"] == "team"
    assert {r["engine"] for r in submission["results"]} == {"hashes", "clamav"}

    for wish, words in ((["--engines", "klamav"], 'the server has no engine "klamav"'),
                        (["--profile", "fulll"], 'the server has no profile "fulll"'),
                        (["--priority", "high"], "--priority=high: it is interactive or batch"),
                        (["--visibility", "me"], "--visibility=me: it is everyone, team or owner"),
                        (["--wait", "--no-wait"], "--no-wait and --wait exclude each other"),
                        (["--tabel"], "did you mean \"table\"")):
        before = count(stack, "submission")
        done = stack.cli("submit", *wish, directory)
        assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1, (wish, done.stderr)
        assert count(stack, "submission") == before
    for args in ([], [""]):
        assert stack.cli("submit", *args).returncode == 2


def over_the_limit(stack):
    directory = folder(stack, "over", large=LIMIT + 1, fits=LIMIT, small_txt="small\n")
    done = stack.cli("submit", "--wait", directory, timeout=300)
    assert done.returncode == 2, (done.stdout, done.stderr)
    error = done.stderr.splitlines()
    assert len(error) == 1 and error[0].startswith(f"{directory}/large: ") and str(LIMIT) in error[0], error
    assert f"{directory}/fits: nothing-found 0/2" in done.stdout and "2 nothing found" in done.stdout, done.stdout


def odd_files(stack):
    """Named fifos are errors, those in a folder are passed over; a folder that can't be read is told."""
    directory = folder(stack, "odd", a_txt="odd\n")
    os.mkfifo(directory / "fifo")
    (directory / "link").symlink_to("a.txt")
    (directory / "loop").symlink_to(".")
    done = stack.cli("submit", "--wait", directory, timeout=60)
    assert done.returncode == 0 and "1 nothing found" in done.stdout, (done.stdout, done.stderr)
    done = stack.cli("submit", "--wait", directory / "fifo", timeout=60)
    assert done.returncode == 2 and "it is neither a file nor a folder" in done.stderr, done.stderr


def files_that_move(stack):
    """Files that vanish and grow while they are read: each is sent or told, and nothing else happens."""
    directory = many(stack, "moving", 600)
    growing = directory / "growing"
    stop = threading.Event()

    def stir():
        files = sorted(directory.rglob("file*"))
        with open(growing, "ab") as log:
            for path in files[::3]:
                path.unlink()
                log.write(b"one line more\n" * 500)
                log.flush()
            while not stop.is_set():
                log.write(b"and more\n" * 100)
                log.flush()
                stop.wait(0.001)
    growing.touch()
    thread = threading.Thread(target=stir)
    thread.start()
    try:
        done = stack.cli("submit", "--wait", "--json", directory, timeout=300)
    finally:
        stop.set()
        thread.join()
    told = lines(done)
    errors = [line for line in told if "error" in line]
    assert {e["error"] for e in errors} <= {"it has vanished"}, errors[:3]
    assert done.returncode == (2 if errors else 0), done.returncode
    paths = [line["path"] for line in told]
    assert len(paths) == len(set(paths))
    assert {str(p) for p in directory.rglob("file*")} <= set(paths)
    assert str(growing) in paths


# ---- sweeps ----

def second_sweep_sends_nothing(stack):
    directory = many(stack, "sweep", 50)
    (directory / "eicar.com").write_bytes(eicar())
    state = stack.dir / "sweep.state"
    first = stack.cli("submit", "--wait", "--resume", state, directory)
    assert first.returncode == 1, (first.stdout, first.stderr)
    each_path_once(stack, directory)
    before = count(stack, "submission")
    second = stack.cli("submit", "--wait", "--resume", state, directory)
    assert count(stack, "submission") == before
    assert second.returncode == 1, "what the sweep found stays found"
    assert "0 files" in second.stdout and "51 unchanged since an earlier run" in second.stdout, second.stdout
    assert "Earlier runs of this sweep found something" in second.stdout

    (directory / "d1" / "file1").write_text("another content\n")
    third = stack.cli("submit", "--wait", "--json", "--resume", state, ".", cwd=directory)
    assert [line["path"] for line in lines(third)] == [f"{directory}/d1/file1"], third.stdout
    assert rows_of(stack, directory)[f"{directory}/d1/file1"] == 2
    batches = {row[0] for row in stack.postgres.sql(f"select distinct batch from submission where source_path like '{directory}/%'")}
    assert len(batches) == 1, "a sweep is one batch"

    done = stack.cli("submit", "--resume", directory / "eicar.com", directory)
    assert done.returncode == 2 and "is not a state file" in done.stderr, done.stderr
    assert (directory / "eicar.com").read_bytes() == eicar()


def killed_sweep_goes_on(stack):
    """kill -9 at several moments: in the end each path has been taken exactly once, large files, too."""
    directory = many(stack, "killed", 4000)
    for i in range(3):
        (directory / f"large{i}").write_bytes(bytes([i]) * (9 * MIB + i))
    state = stack.dir / "killed.state"
    for at in (1, 700, 1500, 2600, 3500):
        process = stack.cli_start("submit", "--no-wait", "--quiet", "--resume", state, directory)
        until(lambda: count(stack, "submission", f"source_path like '{directory}/%'") >= at or process.poll() is not None,
              120, f"{at} submissions")
        process.kill()
        process.wait()
    done = stack.cli("submit", "--wait", "--quiet", "--resume", state, directory, timeout=400)
    assert done.returncode == 0, (done.stdout, done.stderr)
    each_path_once(stack, directory)
    assert count(stack, "submission m join scan s on s.id = m.scan_id", f"source_path like '{directory}/%' and s.verdict is null") == 0
    done = stack.cli("submit", "--quiet", "--resume", state, directory, timeout=100)
    assert done.returncode == 0 and "4003 unchanged" in done.stderr, done.stderr
    each_path_once(stack, directory)


class LostAnswers:
    """A way to the server on which the answers to POST /batch are lost: everything else passes."""

    def __init__(self, stack):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="phagescan-lost."))
        (self.state / "run").mkdir()
        self.env = dict(stack.env, PHAGESCAN_STATE=str(self.state))
        self.server = str(stack.state / "run/api.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.state / "run/api.sock"))
        self.listener.listen(16)
        self.lost = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # closed: the end
            while True:
                threading.Thread(target=self.carry, args=(self.listener.accept()[0],), daemon=True).start()

    def carry(self, client):
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self.server)
            losing = False
            with contextlib.suppress(OSError):
                while True:
                    for readable in select.select([client, server], [], [])[0]:
                        part = readable.recv(65536)
                        if not part:
                            return
                        if readable is client:
                            losing = losing or part.startswith(b"POST /api/v1/batch")
                            server.sendall(part)
                        elif losing:
                            self.lost.set()
                        else:
                            client.sendall(part)

    def close(self):
        self.listener.close()
        shutil.rmtree(self.state, ignore_errors=True)


def killed_sweep_of_changing_files(stack):
    """The server has taken a pack, its answer is lost and the client dies; then files of the pack change, so that it can't
    be repeated. The others are not taken twice, these are taken anew."""
    directory = many(stack, "changing", 300)
    state = stack.dir / "changing.state"
    way = LostAnswers(stack)
    process = subprocess.Popen([str(CLI), "submit", "--no-wait", "--quiet", "--resume", state, directory], env=way.env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert way.lost.wait(60)
    process.kill()
    process.wait()
    way.close()
    each_path_once(stack, directory)
    files = sorted(directory.rglob("file*"))
    changed, gone = files[::50], files[1::50]
    for path in changed:
        path.write_text("changed\n")
    for path in gone:
        path.unlink()

    done = stack.cli("submit", "--wait", "--resume", state, directory, timeout=300)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert f"\n{len(changed)} files" in done.stdout and f"{300 - len(changed) - len(gone)} unchanged" in done.stdout, done.stdout
    have = rows_of(stack, directory)
    assert {p for p, n in have.items() if n == 2} == {str(p) for p in changed}
    assert {p for p, n in have.items() if n == 1} == {str(p) for p in files} - {str(p) for p in changed}


def two_sweeps_at_once(stack):
    directory = many(stack, "twice", 300)
    state = stack.dir / "twice.state"
    both = [stack.cli_start("submit", "--wait", "--quiet", "--resume", state, directory) for _ in range(2)]
    said = [stack.cli_end(p) for p in both]
    if sorted(code for code, _, _ in said) == [0, 2]:
        assert any("is in use by another" in err for code, _, err in said if code == 2), said
    else:  # one was through before the other began
        assert [code for code, _, _ in said] == [0, 0], said
    each_path_once(stack, directory)


def server_goes_and_comes_back(stack):
    """kill -9 of the master in the middle of a sweep, twice; and of the database."""
    directory = many(stack, "away", 3000)
    process = stack.cli_start("submit", "--wait", "--json", directory)
    for at in (1, 1500):
        until(lambda: count(stack, "submission", f"source_path like '{directory}/%'") >= at or process.poll() is not None,
              60, f"{at} submissions")
        stack.kill("master")
        stack.start("master")
    stack.postgres.stop(signal.SIGQUIT)
    stack.postgres.start()
    code, out, err = stack.cli_end(process, 400)
    assert code == 0, (out[-500:], err[-500:])
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == 3000 and {line["verdict"] for line in told} == {"nothing-found"}
    each_path_once(stack, directory)


def server_that_stays_away(stack):
    directory = many(stack, "gone", 20)
    assert stack.cli("submit", "--wait", "--patience", "2s", directory).returncode == 0
    stack.kill("master")
    done = stack.cli("submit", "--wait", directory)
    assert done.returncode == 2 and "nothing answers at " in done.stderr and "`phagescan up` starts it" in done.stderr
    stack.start("master")

    stack.signal("worker", signal.SIGSTOP)  # so that there is something to wait for
    try:
        process = stack.cli_start("submit", "--wait", "--patience", "2s", many(stack, "gone2", 20))
        until(lambda: count(stack, "submission", "source_path like '%/gone2/%'") == 20, 60, "all sent")
        stack.kill("master")
        code, out, err = stack.cli_end(process)
    finally:
        stack.signal("worker", signal.SIGCONT)
        stack.start("master")
    assert code == 2, (out, err)
    assert "gave up waiting: nothing answers at " in err and "20 verdicts have not come" in err, err
    all_done(stack)


def interrupted(stack):
    stack.signal("worker", signal.SIGSTOP)
    try:
        directory = folder(stack, "interrupt", one_txt="interrupt\n")
        process = stack.cli_start("submit", "--wait", directory)
        until(lambda: count(stack, "submission", f"source_path like '{directory}/%'") == 1, 60, "it is sent")
        process.send_signal(signal.SIGINT)
        code, out, err = stack.cli_end(process)
        assert code == 2 and "what was acknowledged goes on being scanned" in err, (out, err)
    finally:
        stack.signal("worker", signal.SIGCONT)
    until(lambda: stack.cli("report", directory / "one.txt").returncode == 0, what="its verdict")

    # Standard input that nobody closes: ^C ends it, too.
    process = subprocess.Popen([str(CLI), "submit", "--wait", "-"], env=stack.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    until(lambda: any("phagescan-stdin" in os.readlink(fd) for fd in pathlib.Path(f"/proc/{process.pid}/fd").iterdir()
                      if os.path.islink(fd)), 60, "it reads")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 2, process.stderr.read()
    process.stdin.close()
    process.stdout.close()
    process.stderr.close()


def reader_that_leaves(stack):
    """submit --json | head -1"""
    directory = many(stack, "head", 3000)
    process = subprocess.Popen([str(CLI), "submit", "--wait", "--json", directory], env=stack.env, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    assert json.loads(process.stdout.readline())
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(120) == 2 and "standard output can't be written" in err, err
    process.stderr.close()


def terminal(stack):
    """On a terminal one waits without asking for it, and sees how far it is; nothing hostile reaches it."""
    directory = many(stack, "terminal", 800, prefix="\x1b[31m")
    ours, theirs = pty.openpty()
    process = subprocess.Popen([str(CLI), "submit", str(directory)], env=stack.env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while part := os.read(ours, 65536):
            said += part
    os.close(ours)
    assert process.wait(120) == 0, said[-1000:]
    assert b"files  " in said and b"ETA" in said and b"found 0" in said, said[:1000]
    assert b"800 nothing found" in said
    assert b"\x1b[31m" not in said and said.count(b"\x1b") == said.count(b"\r\x1b[K")


# ---- reading ----

def reports(stack):
    directory = folder(stack, "report", eicar_com=eicar(), clean_txt="report\n", unknown_txt="never submitted\n")
    stack.cli("submit", "--wait", directory / "eicar.com", directory / "clean.txt")
    by_file = stack.cli("report", directory / "eicar.com")
    assert by_file.returncode == 1, (by_file.stdout, by_file.stderr)
    told = {line.split()[0]: line.split()[1:] for line in by_file.stdout.splitlines() if line.split()}
    assert told["verdict"] == ["malicious", "2/2"] and told["sha256"][0], told
    assert told["clamav"][0] == "malicious" and told["size"] == ["68", "bytes"] and told["hashes"], told
    by_hash = stack.cli("report", sha256(eicar()).upper())
    assert by_hash.returncode == 1 and by_hash.stdout == by_file.stdout
    as_json = stack.cli("report", "--json", directory / "eicar.com")
    assert as_json.returncode == 1 and json.loads(as_json.stdout)["scan"]["verdict"] == "malicious"
    assert stack.cli("report", directory / "clean.txt").returncode == 0

    done = stack.cli("report", directory / "unknown.txt")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("phagescan report: "), done
    os.mkfifo(directory / "fifo")
    for what in (directory, directory / "fifo", directory / "nothing", "abc"):
        done = stack.cli("report", what, timeout=60)
        assert done.returncode == 2 and f"{what} is no SHA-256, and as a file it can't be read: " in done.stderr, done
    for args in ([], ["a", "b"]):
        assert "name one SHA-256 or one file" in stack.cli("report", *args).stderr


def fleet(stack):
    done = stack.cli("engines")
    assert done.returncode == 0, done.stdout
    by_name = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert {"clamav", "yara", "type", "hashes"} <= set(by_name) and " site " in by_name["clamav"], done.stdout
    assert json.loads(stack.cli("engines", "--json").stdout)["items"]
    done = stack.cli("workers")
    assert done.returncode == 0 and "isolation: " in done.stdout and "clamav" in done.stdout, done.stdout

    stack.stop("worker")
    try:
        until(lambda: stack.cli("workers").returncode == 2, 60, "no worker")
        done = stack.cli("workers")
        assert "No worker is connected" in done.stdout, done.stdout
        assert json.loads(stack.cli("workers", "--json").stdout) == {"items": []}
        until(lambda: "no worker offers it" in stack.cli("engines").stdout, 60, "engines that are away")
        assert stack.cli("engines").returncode == 2
    finally:
        stack.start("worker")
        stack.wait_engines(stack.engines)


def by_address(stack):
    """PHAGESCAN_URL: over TCP the server wants to know who it is, and says so; a wrong one is told."""
    port = next(line.split("port=")[1].split()[0] for line in reversed((stack.dir / "master.log").read_text().splitlines())
                if "event=listening" in line)
    for url, words in ((f"http://127.0.0.1:{port}/", "phagescan open"), ("http://127.0.0.1:1", "no answer from"),
                       ("gopher://x", "is to begin with http:// or https://")):
        done = subprocess.run([str(CLI), "engines"], env=dict(stack.env, PHAGESCAN_URL=url), capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr, (url, done.stderr)


STORIES = [lines_and_exit_statuses, folders_from_their_inside, json_lines, without_waiting, table, standard_input,
           excluded_and_chosen, over_the_limit, odd_files, files_that_move, second_sweep_sends_nothing, killed_sweep_goes_on,
           killed_sweep_of_changing_files, two_sweeps_at_once, server_goes_and_comes_back, server_that_stays_away,
           interrupted, reader_that_leaves, terminal, reports, fleet, by_address]

if __name__ == "__main__":
    try:
        tell(*ground.stories(*STORIES))
    finally:
        shutil.rmtree(SITE, ignore_errors=True)
