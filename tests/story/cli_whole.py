"""phagescan up with the real programs, laid out as installed: as root with its three accounts and the launcher, then as an
ordinary user. A folder goes through; kill -9 of the supervisor leaves nothing behind; it comes up again with its data."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import stack
from stack import BUILD, until

ENGINES = ["clamav", "yara", "type", "hashes"]
PROGRAMS = ["cli/phagescan", "broker/daemon/phagescan-broker", "master/phagescan-master", "worker/phagescan-worker",
            "worker/host/phagescan-enginehost"]
ROOT = os.geteuid() == 0


class Installed:
    """The build tree in the places of an installation, in a temporary directory; prefix: who runs it."""

    def __init__(self, prefix=()):
        self.prefix = prefix
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="phagescan-whole."))
        self.dir.chmod(0o755)
        lib = self.dir / "lib"
        (lib / "bin").mkdir(parents=True)
        for program in PROGRAMS:
            shutil.copy(BUILD / program, lib / "bin")
        for engine in ENGINES:
            (lib / "engines" / engine).mkdir(parents=True)
            shutil.copy(BUILD / "engines" / engine / f"{engine}.so", lib / "engines" / engine)
            signatures = BUILD / "engines" / engine / "signatures"
            if signatures.is_dir():
                shutil.copytree(signatures, lib / "engines" / engine / "signatures")
        (lib / "www").mkdir()
        self.home = self.dir / "home"
        self.home.mkdir()
        if prefix:
            shutil.chown(self.home, "nobody", "nogroup")
        self.env = dict(os.environ, PHAGESCAN_STATE=str(self.home / "state"), PHAGESCAN_LIB=str(lib), HOME=str(self.home))
        self.env.pop("PHAGESCAN_URL", None)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            for log in sorted((self.home / "state/log").glob("*.log")):
                print(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:]))
        self.cli("down")
        left = self.processes()
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)
        assert kind or not left, f"`phagescan down` left {left}"

    def cli(self, *args):
        return subprocess.run([*self.prefix, str(self.dir / "lib/bin/phagescan"), *map(str, args)], env=self.env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, cwd="/", timeout=200)

    def good(self, *args, status=0):
        done = self.cli(*args)
        assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def processes(self):
        """Process ids of all that belongs to this installation, with their accounts."""
        found = {}
        for cmdline in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(self.dir).encode() in cmdline.read_bytes():
                    status = (cmdline.parent / "status").read_text()  # the owner of /proc/PID is root's for the jailed ones
                    found[cmdline.parent.name] = int(status.split("Uid:")[1].split()[1])
            except OSError:  # it has ended meanwhile
                continue
        return found

    def wait_engines(self):
        until(lambda: {e["name"] for e in json.loads(self.cli("engines", "--json").stdout or '{"items": []}')["items"]
                       if e["available"]} >= set(ENGINES), 120, "all engines")


def tell(prefix=()):
    with Installed(prefix) as house:
        out = house.good("up", "-d", "--port", "0", "--slots", "2")
        assert "/enter?token=" in out, out
        house.good("status")
        house.wait_engines()
        files = house.dir / "files"
        files.mkdir()
        (files / "eicar.com").write_bytes(stack.eicar())
        (files / "clean.txt").write_text("clean\n")
        out = house.good("submit", "--wait", files, status=1)
        assert "eicar.com: malicious 2/2" in out, out
        assert "clean.txt: inconclusive 0/0 (bundled test signatures)" in out, out

        uids = set(house.processes().values())
        assert len(uids) >= 3 if ROOT and not prefix else len(uids) == 1, uids
        os.kill(json.loads(house.good("status", "--json"))["supervisor"]["pid"], signal.SIGKILL)
        until(lambda: not house.processes(), 60, "the end of all")

        house.good("up", "-d", "--port", "0")
        house.good("report", files / "eicar.com", status=1)
        house.good("down")
        until(lambda: not house.processes(), 10, "the end of the supervisor itself")  # it says so before its exit


def by_this_account():
    tell()


def by_an_ordinary_user():
    if ROOT:
        tell(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"])


if __name__ == "__main__":
    stack.run(by_this_account, by_an_ordinary_user)
