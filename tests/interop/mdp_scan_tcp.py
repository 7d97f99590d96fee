"""The service `scan` over TCP with CURVE: a Majordomo client on another machine, with a key that `phagescan keys` made, sends
samples and gets reports; the worker is reached over TCP as well. PostgreSQL, broker, master and worker are real."""

import hashlib
import json
import os
import pathlib
import re
import sys

import zmq

from mdp_peers import DealerClient, ReqClient

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "story"), str(TESTS / "flow")]
from bad_kit import metric  # noqa: E402 (the path comes first)
from curve_rig import Fleet, key_of, tell  # noqa: E402
from stack import eicar, outcomes, until  # noqa: E402

SERVICE = b"scan"
ENGINES = ["clamav", "hashes", "type"]
BEAT = ["--mdp-heartbeat", "250ms"]
BIG = 3 << 20  # bytes, more than any buffer on the way
CONTEXT = zmq.Context()


def fleet():
    return Fleet(engines=ENGINES, broker=["--mdp", "--mdp-listen-tcp", "127.0.0.1:*", *BEAT])


def start(f):
    """The master beside its broker, the worker elsewhere; two clients' keys, and one that may do something else."""
    f.mdp = re.search(r"endpoint=(tcp://\S+)", f.logged("broker", "mdp-listening")[-1]).group(1)
    for name, role in (("asker", "client"), ("other", "client"), ("w1", "worker"), ("offerer", "service")):
        f.key(name, role)
        f.allow(name)
    f.await_log("broker", "keys-loaded", "keys=4")
    f.options["master"] = ["--mdp", *BEAT]
    f.start("master")
    f.options["worker"] = f.tcp("w1")
    f.start("worker")
    f.wait_engines(ENGINES)
    until(lambda: ask(f, "asker", b"mmi.service", SERVICE) == [b"200"], 60, "the service scan")


def keys_of(f, name):
    public, secret = key_of(str(f.made / f"{name}.key") + "_secret")
    return key_of(f.broker_key)[0], public, secret


def ask(f, name, service, *body, timeout=60):
    client = ReqClient(CONTEXT, f.mdp, keys_of(f, name))
    try:
        return client.ask(service, *body, timeout=timeout)
    finally:
        client.close()


def scan(f, name, *body):
    reply = ask(f, name, SERVICE, *body)
    assert reply and len(reply) == 1, reply
    return json.loads(reply[0])


def samples_go_and_reports_come_back():
    with fleet() as f:
        start(f)
        report = scan(f, "asker", eicar(), b"eicar.com")
        assert report["verdict"] == "malicious" and report["status"] == "done", report
        assert report["sha256"] == hashlib.sha256(eicar()).hexdigest(), report
        assert outcomes(report)["clamav"] == "malicious" and outcomes(report)["hashes"] == "described", outcomes(report)
        # In pieces to a worker over TCP, whole from a client over TCP; nothing of it is lost or changed.
        big = os.urandom(BIG)
        report = scan(f, "asker", big, b"big", json.dumps({"engines": ["hashes"]}).encode())
        assert report["sha256"] == hashlib.sha256(big).hexdigest() and report["size"] == BIG, report
        # It is a submission like any other, and the local user's.
        known = f.api("GET", f"/samples/{report['sha256']}").json
        assert known["scan"]["id"] == report["id"] and known["names"] == ["big"], known
        # Many at once from two keys: everybody hears of his own.
        clients = [DealerClient(CONTEXT, f.mdp, keys_of(f, name)) for name in ("asker", "other")]
        sent = [{hashlib.sha256(data).hexdigest(): data for data in (b"%d of %d" % (i, c) for i in range(10))}
                for c in range(len(clients))]
        for client, samples in zip(clients, sent):
            for data in samples.values():
                client.send(SERVICE, data, b"many", json.dumps({"engines": ["hashes"]}).encode())
        for client, samples in zip(clients, sent):
            reports = [json.loads(client.receive(60)[1][0]) for _ in samples]
            assert {r["sha256"] for r in reports} == set(samples) and all(r["status"] == "done" for r in reports), reports
            client.close()


def whoever_may_not_ask_is_not_scanned_for():
    """Neither strangers, nor a key with another right, nor one that was removed; what they sent is counted where it was read."""
    with fleet() as f:
        start(f)
        before = metric(f, "phagescan_broker_denied_total")
        submissions = f.postgres.sql("select count(*) from submission")
        offers = DealerClient(CONTEXT, f.mdp, keys_of(f, "offerer"))
        for i in range(3):
            offers.send(SERVICE, b"%d by a service" % i)
        stranger = DealerClient(CONTEXT, f.mdp, (key_of(f.broker_key)[0], *zmq.curve_keypair()))
        bare = DealerClient(CONTEXT, f.mdp)
        for client in (stranger, bare):
            client.send(SERVICE, b"by a stranger")
        until(lambda: metric(f, "phagescan_broker_denied_total") == before + 3, 30, "three denied messages in /metrics")
        # A key that is removed: its connection stays, and nobody listens.
        leaver = DealerClient(CONTEXT, f.mdp, keys_of(f, "other"))
        leaver.send(b"mmi.service", SERVICE)
        assert leaver.receive() == (b"mmi.service", [b"200"])
        loads = len(f.logged("broker", "keys-loaded"))
        f.keys("remove", "other")
        f.await_log("broker", "keys-loaded", "keys=3", after=loads)
        leaver.send(SERVICE, b"by one who left")
        until(lambda: metric(f, "phagescan_broker_denied_total") == before + 4, 30, "a fourth")
        assert scan(f, "asker", b"still served", b"s", json.dumps({"engines": ["hashes"]}).encode())["status"] == "done"
        for client in (offers, stranger, bare, leaver):
            assert client.receive(0) is None
            client.close()
        now = f.postgres.sql("select count(*) from submission")
        assert int(now[0][0]) == int(submissions[0][0]) + 1, (submissions, now)


if __name__ == "__main__":
    tell(samples_go_and_reports_come_back, whoever_may_not_ask_is_not_scanned_for)
