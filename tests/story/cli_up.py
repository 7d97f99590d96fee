"""phagescan up, status, down: the supervisor with a real PostgreSQL and stand-ins for our programs (cli_fake.py). As root
with its three accounts, and once more as an ordinary user."""

import contextlib
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import stack

CLI = stack.BUILD / "cli/phagescan"
NAMES = ["postgres", "broker", "master", "worker"]
FAKE = pathlib.Path(os.environ.get("PHAGESCAN_TEST_FAKE", pathlib.Path(__file__).with_name("cli_fake.py")))
ROOT = os.geteuid() == 0


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class House:
    """An installation in a temporary directory. One for all stories: making a database takes its time."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="phagescan-up."))
        self.dir.chmod(0o755)
        self.state = self.dir / "state"
        self.fakes = self.dir / "fakes"
        self.fakes.mkdir()
        (self.dir / "lib/bin").mkdir(parents=True)
        for name in NAMES[1:]:
            shutil.copy(FAKE, self.program(name))
            self.program(name).chmod(0o755)
        self.env = dict(os.environ, PHAGESCAN_LIB=str(self.dir / "lib"), PHAGESCAN_STATE=str(self.state),
                        FAKES=str(self.fakes), HOME=str(self.dir))
        self.env.pop("DISPLAY", None)
        self.foreground = None

    def program(self, name):
        return self.dir / "lib/bin" / f"phagescan-{name}"

    def rule(self, name, *words):
        path = self.fakes / name
        path.unlink(missing_ok=True)
        if words:
            path.write_text(" ".join(words))

    def cli(self, *args, prefix=(), timeout=180):
        return subprocess.run([*prefix, str(CLI), *args], env=self.env, text=True, capture_output=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)

    def up(self, *args):
        done = self.cli("up", "-d", *args)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr, self.logs())
        return done

    def down(self):
        done = self.cli("down")
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done

    def status(self):
        """None while no supervisor answers."""
        done = self.cli("status", "--json")
        return json.loads(done.stdout) if done.stdout else None

    def units(self):
        state = self.status()
        return {u["name"]: u for u in state["supervisor"]["units"]} if state else {}

    def until_all_ready(self):
        return stack.until(lambda: (u := self.units()) and all(x["state"] == "ready" for x in u.values()) and u, 60, "all ready")

    def log(self, name):
        path = self.state / "log" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logs(self):
        supervisor = self.state / "supervisor.log"
        return [supervisor.read_text() if supervisor.exists() else "", *(self.log(n)[-500:] for n in NAMES)]

    @contextlib.contextmanager
    def clean(self):
        """Nothing runs before, nothing after, whatever happens between."""
        for name in NAMES:
            self.rule(name)
        try:
            yield
        finally:
            for name in NAMES:
                self.rule(name)
            units, state = self.units(), self.status()
            self.cli("down")
            for pid in [u["pid"] for u in units.values() if u["pid"]] + ([state["supervisor"]["pid"]] if state else []):
                if alive(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


house = House()


def background_life():
    with house.clean():
        done = house.up()
        assert "http://127.0.0.1:8480/enter?token=t" in done.stdout, done.stdout
        assert "ssh -L 8480:127.0.0.1:8480" in done.stdout
        assert "phagescan down" in done.stdout

        status = house.cli("status")
        assert status.returncode == 0, status.stdout
        assert [line.split()[:2] for line in status.stdout.splitlines()[1:5]] == [[n, "ready"] for n in NAMES], status.stdout
        assert "database answers, broker connected, leader" in status.stdout
        assert "\x1b" not in status.stdout and "test\\x1b[31m" in status.stdout

        for again in (house.cli("up", "-d"), house.cli("up")):
            assert again.returncode == 2, again
            assert "it is running already: `phagescan status` tells how it is" in again.stderr, again.stderr
        opened = house.cli("open")
        assert opened.returncode == 0 and "token=t" in opened.stdout

        units = house.units()
        supervisor = house.status()["supervisor"]["pid"]
        assert all(alive(u["pid"]) for u in units.values())
        down = house.down()
        assert "Stopped. Samples and results are kept." in down.stdout
        assert not any(alive(u["pid"]) for u in units.values())
        stack.until(lambda: not alive(supervisor), 10, "the supervisor's end")
        assert [house.log(n).splitlines()[-1] for n in NAMES[1:]] == [f"{n} ends" for n in NAMES[1:]]

        for command in ("down", "status"):
            done = house.cli(command)
            assert done.returncode == 2
            assert done.stderr == f"phagescan {command}: it is not running here: `phagescan up` starts it\n", done.stderr
        done = house.cli("engines")
        assert done.returncode == 2 and "`phagescan up` starts it" in done.stderr


def down_and_up_again_at_once():
    with house.clean():
        for _ in range(2):
            house.up()
            house.down()


def accounts_and_descriptors():
    with house.clean():
        house.up("--port", "1234", "--slots", "3")
        logs = {n: next(line for line in reversed(house.log(n).splitlines()) if "begins" in line) for n in NAMES[1:]}
        assert "'--port', '1234'" in logs["master"] and "'--slots', '3'" in logs["worker"], logs
        for name, line in logs.items():
            assert "descriptors=['0', '1', '2', '3', '4']" in line, line  # 4 is the listing's own
        uids = {n: os.stat(f"/proc/{u['pid']}").st_uid for n, u in house.units().items()}
        if ROOT:
            assert len({uids["postgres"], uids["broker"], 0}) == 3, uids
            assert uids["broker"] == uids["master"] and uids["worker"] == 0, uids
            for directory, mode in (("state", 0o755), ("state/pg", 0o700), ("state/store", 0o700), ("state/log", 0o750)):
                assert (house.dir / directory).stat().st_mode & 0o777 == mode, directory
        else:
            assert set(uids.values()) == {os.geteuid()}
            assert house.state.stat().st_mode & 0o777 == 0o700


def database_has_two_roles():
    """Our programs are not the owner of the cluster."""
    with house.clean():
        house.up()
        psql = ["psql", "-h", str(house.state / "run/pg"), "-qAtX", "-c"]
        as_services = ["setpriv", "--reuid=phagescan", "--regid=phagescan", "--clear-groups"] if ROOT else []
        query = "select rolsuper, current_user from pg_roles where rolname = current_user"
        done = subprocess.run([*as_services, *psql, query, "-U", "phagescan", "phagescan"], text=True, capture_output=True, cwd="/")
        assert done.stdout == "f|phagescan\n", (done.stdout, done.stderr)
        done = subprocess.run([*as_services, *psql, "create table x (y int); drop table x", "-U", "phagescan", "phagescan"],
                              text=True, capture_output=True, cwd="/")
        assert done.returncode == 0, done.stderr
        if ROOT:
            done = subprocess.run([*as_services, *psql, query, "-U", "postgres", "postgres"], text=True, capture_output=True, cwd="/")
            assert done.returncode != 0 and "Peer authentication failed" in done.stderr, done.stderr
            done = subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *psql, query, "-U", "phagescan",
                                   "phagescan"], text=True, capture_output=True, cwd="/")
            assert done.returncode != 0 and "Peer authentication failed" in done.stderr, done.stderr


def killed_child_comes_back():
    with house.clean():
        house.up()
        before = house.units()
        for times in (1, 2, 3):
            os.kill(house.units()["broker"]["pid"], signal.SIGKILL)
            at = time.monotonic()
            unwell = stack.until(lambda: (u := house.units())["broker"]["state"] != "ready" and u["broker"], 10, "the end seen")
            assert unwell["last"] == "killed by signal 9 (Killed)" and unwell["restarts"] == times, unwell
            if times == 3:  # two seconds of back-off: time to look
                status = house.cli("status")
                assert status.returncode == 2, status.stdout
                assert "not well: see " in status.stdout and "broker.log" in status.stdout, status.stdout
            units = house.until_all_ready()
            assert time.monotonic() - at >= 0.5 * 2 ** (times - 1), "it came back without back-off"
        assert units["broker"]["pid"] != before["broker"]["pid"]
        assert {n: units[n]["pid"] for n in NAMES if n != "broker"} == {n: before[n]["pid"] for n in NAMES if n != "broker"}
        assert house.cli("status").returncode == 0

        os.kill(units["postgres"]["pid"], signal.SIGKILL)
        stack.until(lambda: house.units()["postgres"]["restarts"], 10, "PostgreSQL's end seen")
        house.until_all_ready()


def failing_child_is_named():
    with house.clean():
        house.rule("worker", "failing")
        done = house.cli("up", "-d", "--patience", "15s")
        assert done.returncode == 2
        assert "not ready after 15 s: " in done.stderr and "worker is " in done.stderr, done.stderr
        assert "exit status 7" in done.stderr and "worker.log" in done.stderr and "phagescan down" in done.stderr, done.stderr
        assert "there is a stone in my shoe" in house.log("worker")
        house.rule("worker")  # and it goes on trying
        house.until_all_ready()


def unready_child_is_named():
    with house.clean():
        house.rule("master", "never-ready")
        at = time.monotonic()
        done = house.cli("up", "-d", "--patience", "15s")
        assert done.returncode == 2
        assert 14 < time.monotonic() - at < 90
        assert "not ready after 15 s: master is starting" in done.stderr and "worker" not in done.stderr, done.stderr
        house.down()


def stubborn_child_is_killed():
    with house.clean():
        house.rule("master", "stubborn")
        house.up()
        units = house.units()
        at = time.monotonic()
        house.down()
        assert 14 < time.monotonic() - at < 60
        assert not any(alive(u["pid"]) for u in units.values())
        assert "master ends" not in house.log("master").splitlines()[-1]


def stopped_postgres_does_not_hold_the_end():
    """SIGSTOP: it hears neither SIGINT nor SIGQUIT."""
    if not stack.LONG:
        return
    with house.clean():
        house.up()
        pid = house.units()["postgres"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        house.down()
        assert not alive(pid)


def killed_supervisor_leaves_nothing():
    with house.clean():
        house.up()
        units, supervisor = house.units(), house.status()["supervisor"]["pid"]
        os.kill(supervisor, signal.SIGKILL)
        stack.until(lambda: not any(alive(u["pid"]) for u in units.values()), 30, "the end of all")
        done = house.cli("status")
        assert done.returncode == 2 and "not running here" in done.stderr, done
        house.up()
        house.down()


def foreground():
    with house.clean():
        process = subprocess.Popen([str(CLI), "up"], env=house.env, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
        said = b""
        while b"^C stops it" not in said:
            assert select.select([process.stdout], [], [], 120)[0], "nothing was said"
            part = os.read(process.stdout.fileno(), 4096)
            assert part, process.stderr.read()
            said += part
        assert b"token=t" in said
        units = house.units()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out, err)
        assert not any(alive(u["pid"]) for u in units.values())


def interrupted_while_it_starts():
    with house.clean():
        house.rule("master", "never-ready")
        process = subprocess.Popen([str(CLI), "up"], env=house.env, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
        stack.until(lambda: house.units().get("master", {}).get("state") == "starting", 60, "a starting master")
        units = house.units()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert not any(alive(u["pid"]) for u in units.values())


def two_at_the_same_moment():
    with house.clean():
        both = [subprocess.Popen([str(CLI), "up", "-d"], env=house.env, text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) for _ in range(2)]
        said = [(p.communicate(timeout=120), p.returncode) for p in both]
        assert sorted(code for _, code in said) == [0, 2], said
        assert any("it is running already" in err for (_, err), code in said if code == 2), said
        assert house.cli("status").returncode == 0


def missing_program_is_named():
    with house.clean():
        shutil.move(house.program("broker"), house.dir / "away")
        try:
            done = house.cli("up", "-d")
        finally:
            shutil.move(house.dir / "away", house.program("broker"))
        assert done.returncode == 2
        assert "phagescan-broker is missing: is Phagescan installed?" in done.stderr, done.stderr
        done = house.cli("up", "-d", "--signatures", "/nonexistent")
        assert done.returncode == 2 and "--signatures /nonexistent is not a directory" in done.stderr, done.stderr
        assert house.status() is None


def stopped_while_it_makes_its_database():
    """It does not listen yet; `down` waits until it does, and nothing stays behind."""
    other = House()
    try:
        with other.clean():
            process = subprocess.Popen([str(CLI), "up", "-d"], env=other.env, text=True, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
            stack.until(lambda: (other.state / "pg.new").exists(), 60, "initdb")
            other.down()
            _, err = process.communicate(timeout=60)
            assert process.returncode == 2 and "it ended before everything was ready" in err, err
            assert other.status() is None
    finally:
        other.remove()


def half_a_cluster_is_made_anew():
    """initdb was killed: a directory with a version in it, and no more."""
    with house.clean():
        other = House()
        try:
            (other.state / "pg.new").mkdir(parents=True)
            (other.state / "pg.new/PG_VERSION").write_text("15\n")
            other.state.chmod(0o755)
            with other.clean():
                other.up()
                other.down()
            assert not (other.state / "pg.new").exists()
        finally:
            other.remove()


def silent_clients_do_not_block():
    with house.clean():
        house.up()
        silent = []
        for _ in range(40):
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(house.state / "run/up.sock"))
            silent.append(s)
        assert house.cli("status").returncode == 0
        silent[-1].sendall(b"\0" * 1000)
        silent[-2].sendall(b"stop")  # no end of line: not a command
        assert house.cli("status").returncode == 0
        for s in silent:
            s.close()


def members_of_the_group_may_look():
    if not ROOT:
        return
    with house.clean():
        house.up()
        stranger = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        member = ["setpriv", "--reuid=nobody", "--regid=phagescan", "--clear-groups"]
        done = house.cli("status", prefix=stranger)
        assert done.returncode == 2 and "is open to root and the group phagescan" in done.stderr, done.stderr
        done = house.cli("status", "--json", prefix=member)
        assert done.stdout and json.loads(done.stdout)["supervisor"]["stopping"] is False, done
        done = house.cli("down", prefix=member)
        assert done.returncode == 2 and "only root, or who started it, may stop it" in done.stderr, done.stderr
        assert house.cli("status").returncode == 0


def terminal_hears_how_far_it_is():
    """On a terminal: what is not ready yet, and what is being stopped."""
    with house.clean():
        for args, words in ((["up", "-d"], [b"is starting", b"Running in the background"]),
                            (["down"], [b"stopping worker", b"stopping postgres", b"Stopped."])):
            ours, theirs = pty.openpty()
            process = subprocess.Popen([str(CLI), *args], env=house.env, stdin=theirs, stdout=theirs, stderr=theirs)
            os.close(theirs)
            said = b""
            with contextlib.suppress(OSError):  # how a terminal ends
                while part := os.read(ours, 4096):
                    said += part
            os.close(ours)
            assert process.wait(60) == 0, said
            assert all(word in said for word in words), said


STORIES = [background_life, down_and_up_again_at_once, accounts_and_descriptors, database_has_two_roles,
           killed_child_comes_back, failing_child_is_named, unready_child_is_named, stubborn_child_is_killed,
           stopped_postgres_does_not_hold_the_end, killed_supervisor_leaves_nothing, foreground, interrupted_while_it_starts,
           two_at_the_same_moment, missing_program_is_named,
           stopped_while_it_makes_its_database, half_a_cluster_is_made_anew, silent_clients_do_not_block,
           members_of_the_group_may_look, terminal_hears_how_far_it_is]


def as_a_user():
    """All of it again without root's rights. The stories and the program lie where that user may read them."""
    with tempfile.TemporaryDirectory(prefix="phagescan-up-user.") as name:
        os.chmod(name, 0o755)
        copies = pathlib.Path(name)
        (copies / "build/cli").mkdir(parents=True)
        (copies / "tests/story").mkdir(parents=True)
        shutil.copy(CLI, copies / "build/cli/phagescan")
        for path in ("stack.py", "cli_up.py", "cli_fake.py"):
            shutil.copy(pathlib.Path(__file__).with_name(path), copies / "tests/story" / path)
        env = dict(os.environ, PHAGESCAN_TEST_BUILD=str(copies / "build"), HOME="/nonexistent", PYTHONDONTWRITEBYTECODE="1")
        done = subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", sys.executable,
                               str(copies / "tests/story/cli_up.py"), *sys.argv[1:]], env=env, cwd="/")
        assert done.returncode == 0, f"as a user: exit status {done.returncode}"


def database_is_made():
    """First of all: what follows measures patience."""
    with house.clean():
        house.up()


if __name__ == "__main__":
    chosen = [s for s in STORIES if not sys.argv[1:] or s.__name__ in sys.argv[1:]]
    try:
        stack.run(database_is_made, *chosen, *([as_a_user] if ROOT else []))
    finally:
        house.remove()
