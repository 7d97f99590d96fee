"""Real programs over TCP with CURVE: samples are scanned, keys come and go while jobs run, and a worker that root starts reads
root's key."""

import os
import pathlib
import pwd
import re

from curve_rig import ROOT, Fleet, tell, until

ENGINES = ["crashy", "noop"]


def start_worker(f, name, key, wait=True):
    f.options[name] = f.tcp(key) + ["--name", key]
    return f.start(name, wait)


def start_master(f, key=None):
    f.options["master"] = f.tcp(key) if key else []
    f.start("master")


def workers(f):
    """By name, as the page shows them."""
    return {w["name"]: w for w in f.api("GET", "/workers").json["items"]}


def slow(f, word, ms):
    """A job that runs for ms: (hash, scan)."""
    answer = f.api("POST", f"/submissions?name={word}&engines=crashy", f"CRASHY slow {ms}\n{word}\n".encode())
    assert answer.status == 201, answer.body
    return answer.json["sha256"], answer.json["scan"]


def all_over_tcp():
    """Master and worker on other machines: no UNIX socket is touched."""
    with Fleet(engines=ENGINES) as f:
        f.key("the-master", "master")
        f.key("w1", "worker")
        f.allow("the-master")
        f.allow("w1")
        (f.state / "run/broker.sock").unlink()
        start_master(f, "the-master")
        start_worker(f, "worker", "w1")
        f.wait_engines(ENGINES)
        report = f.oneshot(b"CRASHY malicious Over.Tcp\n", engines="crashy,noop")
        assert report["scan"]["verdict"] == "malicious", report["scan"]
        big = os.urandom(3 << 20)  # in pieces, over the broker
        report = f.oneshot(big, engines="noop")
        assert report["results"][0]["outcome"] == "undetected", report["results"]
        assert len(f.logged("broker", "session-opened")) == 2
        # The broker may start anew: all come back by themselves.
        before = len(f.logged("broker", "session-opened"))
        f.kill("broker")
        f.start_broker(f.endpoint[len("tcp://"):])
        f.await_log("broker", "session-opened", "role=worker", after=before)
        f.await_log("broker", "session-opened", "role=master", after=before)
        report = f.oneshot(b"CRASHY malicious Again\n", engines="crashy")
        assert report["scan"]["verdict"] == "malicious", report["scan"]


def a_key_is_removed_while_its_worker_works():
    with Fleet(engines=["crashy"], slots=1) as f:
        for key in ("w1", "w2"):
            f.key(key, "worker")
        f.allow("w1")
        start_master(f)
        start_worker(f, "worker", "w1")
        f.wait_engines(["crashy"])
        scans = [slow(f, f"torn-{i}", 1500) for i in range(10)]  # 15 s of work, all leased to the only worker there is
        until(lambda: workers(f)["w1"]["running"] == 1, 30, "a job to run at w1")
        # The other one is no stranger from now on, without a restart of anything.
        worker2 = start_worker(f, "worker2", "w2", wait=False)
        f.await_log("broker", "stranger", "unknown key")
        f.allow("w2")
        f.await_log("broker", "session-opened", "name=w2")
        until(lambda: workers(f)["w1"]["running"] == 1, 30, "a job to run at w1")
        f.keys("remove", "w1")
        line = f.await_log("broker", "session-ended", "name=w1", "key was removed")
        assert int(re.search(r"held=(\d+)", line).group(1)) > 0, line
        reports = [f.report(sha256, scan) for sha256, scan in scans]
        assert {r["outcome"] for report in reports for r in report["results"]} == {"undetected"}, reports
        assert "w1" not in workers(f)
        # It was no loss: nobody is suspected of killing a worker, and no job is final twice.
        assert f.postgres.sql("select count(*), sum(lost) from job where final is not null") == [["10", "0"]]
        assert worker2.poll() is None
        # The one that was put out knows why, and comes back when it is allowed again.
        f.await_log("worker", "session-lost", "key was removed")
        before = len(f.logged("broker", "session-opened"))
        f.allow("w1")
        f.await_log("broker", "session-opened", "name=w1", after=before)


def a_worker_of_roots_reads_its_key_before_it_gives_root_up():
    if not ROOT:
        return print("     (only root can start a launcher: left out)")
    with Fleet(engines=["noop"]) as f:
        f.key("w1", "worker")
        f.allow("w1")
        secret = f.made / "w1.key_secret"
        os.chown(secret, 0, 0)
        f.made.chmod(0o700)  # the services account does not come this far
        f.options["worker"] = [*f.tcp("w1"), "--name", "w1", "--account-services", "phagescan", "--account-engines",
                               "phagescan-engine", "--cache-dir", str(f.dir / "cache")]
        worker = f.start("worker")
        f.await_log("broker", "session-opened", "name=w1")
        status = pathlib.Path(f"/proc/{worker.pid}/status").read_text()
        uids = set(re.search(r"Uid:(.*)", status).group(1).split())
        assert uids == {str(pwd.getpwnam("phagescan").pw_uid)}, uids
        f.stop("worker")
        # What it can't use is said at once, and as a sentence.
        secret.chmod(0o644)
        worker = f.start("worker", wait=False)
        assert worker.wait(30) == 1
        f.await_log("worker", "ended", "chmod 600")


if __name__ == "__main__":
    tell(all_over_tcp, a_key_is_removed_while_its_worker_works, a_worker_of_roots_reads_its_key_before_it_gives_root_up)
