"""phagescan keys: what it makes, for whom, and what it refuses; then an installation whose broker reads what root has made, and a
worker that comes over TCP with a key of its own."""

import json
import os
import pathlib
import pwd
import re
import shutil
import stat
import subprocess
import tempfile

from cli_whole import ROOT, Installed
from stack import BUILD, run, until

NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


class Place:
    """A state directory to make keys in, and one to take them to."""

    def __init__(self, prefix=()):
        self.prefix = list(prefix)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="phagescan-keys."))
        self.dir.chmod(0o755)
        shutil.copy(BUILD / "cli/phagescan", self.dir)  # others can't read every place that a tree may be in
        self.out = self.dir / "out"
        self.out.mkdir()
        self.state = self.dir / "state"
        self.state.mkdir()
        if prefix:
            for path in (self.out, self.state):
                shutil.chown(path, "nobody", "nogroup")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *args, umask=0o022):
        return subprocess.run([*self.prefix, str(self.dir / "phagescan"), "keys", *map(str, args)], text=True,
                              capture_output=True, cwd="/", env=dict(os.environ, PHAGESCAN_STATE=str(self.state)), umask=umask)

    def good(self, *args, **kwargs):
        done = self.run(*args, **kwargs)
        assert done.returncode == 0 and not done.stderr, (args, done)
        return done.stdout

    def bad(self, *args, says):
        done = self.run(*args)
        assert done.returncode == 2 and not done.stdout, (args, done)
        assert all(word in done.stderr for word in says), (args, says, done.stderr)
        assert done.stderr.count("\n") == 1 and "\x1b" not in done.stderr, done.stderr

    def new(self, name, role):
        self.good("new", name, "--role", role, "--out", self.out)
        return self.out / f"{name}.key"

    def listed(self, status=0):
        done = self.run("list", "--json")
        assert done.returncode == status, done
        return json.loads(done.stdout)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def owner_of(path):
    return pwd.getpwuid(path.stat().st_uid).pw_name


def walk(prefix, reader, maker):
    """reader: whose secrets are; maker: whose the rest is."""
    with Place(prefix) as p:
        assert p.listed()["allowed"] == [] and "key" not in p.listed()["broker"]
        p.good("broker", umask=0o077)
        broker = p.state / "keys/broker.key"
        secret = pathlib.Path(f"{broker}_secret")
        assert mode_of(secret) == 0o600 and owner_of(secret) == reader, (oct(mode_of(secret)), owner_of(secret))
        assert mode_of(broker) == 0o644 and owner_of(broker) == maker
        assert mode_of(p.state / "keys/allowed") == (0o755 if ROOT and not prefix else 0o700)
        before = p.listed()["broker"]["key"]
        p.bad("broker", says=["has a key", "--renew"])
        assert p.listed()["broker"]["key"] == before
        p.good("broker", "--renew")
        assert p.listed()["broker"]["key"] != before

        w1 = p.new("w1", "worker")
        assert mode_of(pathlib.Path(f"{w1}_secret")) == 0o600 and owner_of(pathlib.Path(f"{w1}_secret")) == reader
        assert "secret-key" not in w1.read_text() and 'roles = "worker"' in w1.read_text()
        p.good("allow", w1)
        p.good("allow", w1)  # again is no mistake
        m1 = p.new("m1", "master")
        p.good("allow", f"{m1}_secret")  # from the secret file too; the secret stays there
        assert "secret-key" not in (p.state / "keys/allowed/m1.key").read_text()
        p.good("allow", m1, "--role", "worker,master")
        allowed = {k["name"]: k for k in p.listed()["allowed"]}
        assert allowed["w1"]["roles"] == ["worker"] and allowed["m1"]["roles"] == ["master", "worker"], allowed
        assert re.search(r"^w1 +worker +20\S+Z +\S{40}$", p.good("list"), re.M), p.good("list")
        p.good("remove", allowed["m1"]["key"])
        p.good("remove", "w1")
        assert p.listed()["allowed"] == []


def by_this_account():
    me = pwd.getpwuid(os.geteuid()).pw_name
    walk((), "phagescan" if ROOT else me, me)


def by_an_ordinary_user():
    if ROOT:
        walk(NOBODY, "nobody", "nobody")


def mistakes_are_told():
    with Place() as p:
        p.bad("new", says=["one name"])
        p.bad("new", "a", says=["--role"])
        p.bad("new", "a", "--role", "king", says=["king", "master", "worker"])
        p.bad("new", "../a", "--role", "worker", says=["name"])
        p.bad("new", "a" * 65, "--role", "worker", says=["64"])
        p.bad("new", "a", "--role", "worker", "--out", p.out / "none", says=[str(p.out / "none"), "not found"])
        a = p.new("a", "worker")
        p.bad("new", "a", "--role", "worker", "--out", p.out, says=["there already"])
        p.bad("remove", "a", says=["no such key"])
        p.good("allow", a)
        p.bad("new", "a", "--role", "worker", "--out", p.state, says=["name a is taken"])
        p.bad("allow", a, "--name", "b", says=["allowed already", "a.key"])
        b = p.new("b", "worker")
        p.bad("allow", b, "--name", "a", says=["taken by another key"])
        p.bad("allow", p.out / "none.key", says=["none.key", "not found"])
        p.bad("allow", p.out, says=["not a regular file"])
        evil = p.out / "evil.key"
        evil.write_text("\x1b]0;owned\x07\n")
        p.bad("allow", evil, says=["not a certificate"])
        bare = p.out / "bare.key"
        bare.write_text("".join(b.read_text().partition("curve")[1:]))
        p.bad("allow", bare, says=["no name", "--name"])
        p.bad("allow", bare, "--name", "bare", says=["no roles", "--role"])
        p.bad("allow", bare, "--name", "../x", "--role", "worker", says=["--name"])
        p.good("allow", bare, "--name", "bare", "--role", "worker")
        # Two files of one key: all of them go, or it would still be allowed.
        allowed = p.state / "keys/allowed"
        shutil.copy(allowed / "bare.key", allowed / "copy.key")
        assert p.listed(2)["skipped"][0]["file"] == "copy.key", p.listed(2)
        assert p.good("remove", "bare").count("removed:") == 2
        # Two keys of one name: the key itself has to be said.
        c = p.new("c", "worker")
        (allowed / "c.key").write_text(c.read_text().replace('name = "c"', 'name = "a"'))
        p.bad("remove", "a", says=["both called a"])
        p.good("remove", p.listed()["allowed"][0]["key"])
        assert len(p.listed()["allowed"]) == 1
        # The broker's own settings are followed.
        (p.state / "phagescan.conf").write_text(f"broker\n    key = {p.dir}/k/own.key\n    allowed = {p.dir}/k/in\n")
        p.good("broker")
        p.good("allow", b)
        assert (p.dir / "k/own.key_secret").exists() and (p.dir / "k/in/b.key").exists()
        (p.state / "phagescan.conf").write_text("broker\n    allowed = here\n")
        p.bad("list", says=["allowed", "absolute"])
        done = p.run("what")
        assert done.returncode == 2 and "--help" in done.stderr


def an_installation_lets_a_worker_in():
    """As operations.md has it: keys, a setting, up; as root the broker's account reads what root has made."""
    with Installed() as house:
        state = house.home / "state"
        state.mkdir()
        (state / "phagescan.conf").write_text("broker\n    listen-tcp = 127.0.0.1:0\n")
        house.good("keys", "broker")
        house.good("up", "-d", "--port", "0", "--slots", "1")
        log = state / "log/broker.log"
        endpoint = re.search(r"event=listening endpoint=(tcp://\S+)", log.read_text()).group(1)
        far = house.dir / "far"
        far.mkdir()
        house.good("keys", "new", "far", "--role", "worker", "--out", far)
        house.good("keys", "allow", far / "far.key")
        worker = subprocess.Popen(
            [house.dir / "lib/bin/phagescan-worker", "--broker", endpoint, "--key", far / "far.key", "--broker-key",
             state / "keys/broker.key", "--name", "far", "--engines", "hashes"],
            env=dict(house.env, PHAGESCAN_STATE=str(far / "state")), stdin=subprocess.DEVNULL,
            stdout=open(far / "log", "wb"), stderr=subprocess.STDOUT)
        try:
            until(lambda: re.search(r"event=session-opened .*name=far", log.read_text()), 60, "the worker from afar")
            until(lambda: '"far"' in house.cli("workers", "--json").stdout, 30, "it among the workers")
            house.good("keys", "remove", "far")
            until(lambda: re.search(r"event=session-ended .*name=far .*key was removed", log.read_text()), 30, "its end")
        finally:
            worker.terminate()
            assert worker.wait(60) == 0, (far / "log").read_text(errors="replace")[-2000:]


if __name__ == "__main__":
    run(by_this_account, by_an_ordinary_user, mistakes_are_told, an_installation_lets_a_worker_in)
