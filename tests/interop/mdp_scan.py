"""The service `scan`: Majordomo clients send samples and get reports. PostgreSQL, broker, master and worker are real."""

import hashlib
import json
import pathlib
import signal
import sys
import threading

import zmq

from mdp_peers import DealerClient, ReqClient

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "story"))
from bad_kit import Ground, tell  # noqa: E402 (the path comes first)
from stack import eicar, outcomes, until  # noqa: E402

SERVICE = b"scan"
LIMIT = 1 << 20
HEARTBEAT = 0.25
CONNECTIONS = 4
BEAT = ["--mdp-heartbeat", f"{int(HEARTBEAT * 1000)}ms"]
CONTEXT = zmq.Context()


def endpoint(stack):
    return f"ipc://{stack.state}/run/mdp.sock"


def req(stack):
    return ReqClient(CONTEXT, endpoint(stack))


def ask(stack, *body, timeout=60, tries=1):
    client = req(stack)
    reply = client.ask(SERVICE, *body, timeout=timeout, tries=tries)
    client.close()
    assert reply is not None, "no reply"
    assert len(reply) == 1, reply
    return json.loads(reply[0])


def options(**what):
    return json.dumps(what).encode()


def status(stack):
    client = req(stack)
    reply = client.ask(b"mmi.service", SERVICE, timeout=5, tries=4)
    client.close()
    return reply[0] if reply else None


def wait_service(stack, wanted=b"200"):
    until(lambda: status(stack) == wanted, 60, f"the service scan to be {wanted}")


def refused(report, code, *words):
    assert set(report) == {"error"} and set(report["error"]) == {"code", "text"}, report
    assert report["error"]["code"] == code and report["error"]["text"], report
    assert all(word in report["error"]["text"] for word in words), report


def eicar_is_found(stack):
    wait_service(stack)
    report = ask(stack, eicar(), b"eicar.com")
    assert report["verdict"] == "malicious" and report["status"] == "done", report
    assert report["positives"] >= 1 and report["finished_at"], report
    assert report["sha256"] == hashlib.sha256(eicar()).hexdigest() and report["size"] == len(eicar()), report
    found = outcomes(report)
    assert found["clamav"] == "malicious" and found["hashes"] == "described", found
    # It is a submission like any other.
    known = stack.api("GET", f"/samples/{report['sha256']}").json
    assert known["scan"]["id"] == report["id"] and known["scan"]["verdict"] == "malicious", known
    assert stack.postgres.sql("select name from submission order by id desc limit 1") == [["eicar.com"]]


def a_clean_file_is_not_called_clean_without_reason(stack):
    report = ask(stack, b"nothing to see here", b"clean.txt", b"")
    assert report["positives"] == 0 and report["status"] == "done", report
    same = stack.oneshot(b"nothing to see here", "clean.txt")["scan"]
    assert (report["verdict"], report["total"], report["reasons"]) == (same["verdict"], same["total"], same["reasons"])


def options_choose_engines(stack):
    report = ask(stack, eicar() + b"\n", b"e", options(engines=["hashes", "yara"], priority="interactive"))
    assert set(outcomes(report)) == {"hashes", "yara"}, outcomes(report)
    fast = ask(stack, b"for a profile", b"p", options(profile="fast"))
    assert fast["profile"] == "fast", fast


def a_name_may_be_any_bytes(stack):
    report = ask(stack, b"one with a name", b"\xff\xfe\0/../x \xc3\xa4", options(engines=["hashes"]))
    assert report["status"] == "done", report
    assert ask(stack, b"one without")["status"] == "done"


def empty_frames(stack):
    """An empty sample is a sample, as by every road; an empty name and empty options are none."""
    report = ask(stack, b"", b"", b"")
    assert report["sha256"] == hashlib.sha256(b"").hexdigest() and report["size"] == 0, report


def what_is_wrong_is_told(stack):
    refused(ask(stack, b"x" * (LIMIT + 1), b"big"), "limit", str(LIMIT))
    refused(ask(stack, b"x", b"y" * 100_000), "limit")
    refused(ask(stack, b"x", b"n", options(engine="hashes")), "invalid", "engines")
    refused(ask(stack, b"x", b"n", options(sha256="00" * 32)), "invalid")
    refused(ask(stack, b"x", b"n", options(priority="now")), "invalid", "priority")
    refused(ask(stack, b"x", b"n", options(engines="hashes")), "invalid", "engines")
    refused(ask(stack, b"x", b"n", b"["), "invalid")
    refused(ask(stack, b"x", b"n", b"[]"), "invalid")
    refused(ask(stack, b"x", b"n", b'{"engines":["hashes"],"engines":["yara"]}'), "invalid")
    refused(ask(stack, b"x", b"n", b"{}\xff"), "invalid")
    refused(ask(stack, b"x", b"n", b" " * 100_000), "limit")
    refused(ask(stack, b"x", b"n", b"", b"and more"), "invalid")
    nobody = ask(stack, b"x", b"n", options(engines=["no-such-engine"]))
    assert "error" in nobody or outcomes(nobody) == {"no-such-engine": "unavailable"}, nobody
    assert ask(stack, b"still there", b"n", options(engines=["hashes"]))["status"] == "done"


def several_clients_at_once(stack):
    """More than there are connections, over both kinds of sockets; everybody gets the report of his own sample."""
    n, clients = 8, 6
    failed = []

    def client(number, use_dealer):
        try:
            samples = {hashlib.sha256(b"%d %d" % (number, i)).hexdigest(): b"%d %d" % (number, i) for i in range(n)}
            if use_dealer:
                dealer = DealerClient(CONTEXT, endpoint(stack))
                for data in samples.values():
                    dealer.send(SERVICE, data, b"many", options(engines=["hashes", "type"]))
                reports = [json.loads(dealer.receive(120)[1][0]) for _ in samples]
                dealer.close()
            else:
                reports = [ask(stack, data, b"many", options(engines=["hashes", "type"])) for data in samples.values()]
            assert {r["sha256"] for r in reports} == set(samples), reports
            assert all(r["status"] == "done" for r in reports), reports
        except Exception as error:  # told below
            failed.append(error)

    threads = [threading.Thread(target=client, args=(i, i % 2 == 0)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert not failed, failed


def a_master_that_stops_says_so_and_comes_back(stack):
    stack.stop("master")
    assert status(stack) == b"404"  # at once: DISCONNECT was said
    waiting = DealerClient(CONTEXT, endpoint(stack))
    waiting.send(SERVICE, b"waits for a master", b"w", options(engines=["hashes"]))
    stack.start("master")
    wait_service(stack)
    service, body = waiting.receive(60)
    assert json.loads(body[0])["sha256"] == hashlib.sha256(b"waits for a master").hexdigest()
    waiting.close()


def a_master_killed_in_the_middle(stack):
    """The sample was durable, so its scan goes on; the client asks again and gets a report."""
    stack.signal("worker", signal.SIGSTOP)  # so that the scan can't end
    client = DealerClient(CONTEXT, endpoint(stack))
    data = b"killed in the middle"
    sha256 = hashlib.sha256(data).hexdigest()
    client.send(SERVICE, data, b"k", options(engines=["hashes"]))
    until(lambda: stack.postgres.sql(f"select 1 from sample where encode(sha256, 'hex') = '{sha256}'"), 30, "the sample's row")
    stack.kill("master")
    stack.signal("worker", signal.SIGCONT)
    stack.start("master")
    wait_service(stack)
    report = ask(stack, data, b"k", options(engines=["hashes"]), timeout=30, tries=4)
    assert report["sha256"] == sha256 and report["status"] == "done", report
    stack.report(sha256, 0)
    client.close()


def a_broker_killed_in_the_middle(stack):
    """Clients and master meet again at the new one; what was in flight is asked for again."""
    stack.signal("worker", signal.SIGSTOP)
    client = DealerClient(CONTEXT, endpoint(stack))
    client.send(SERVICE, b"broker killed", b"k", options(engines=["hashes"]))
    sha256 = hashlib.sha256(b"broker killed").hexdigest()
    until(lambda: stack.postgres.sql(f"select 1 from sample where encode(sha256, 'hex') = '{sha256}'"), 30, "the sample's row")
    stack.kill("broker")
    stack.signal("worker", signal.SIGCONT)
    stack.start("broker")
    wait_service(stack)
    report = ask(stack, b"broker killed", b"k", options(engines=["hashes"]), timeout=30, tries=4)
    assert report["sha256"] == sha256 and report["status"] == "done", report
    assert client.receive(0) is None
    client.close()


def a_client_that_left_costs_nothing(stack):
    """More than there are connections; all seats are free again."""
    for i in range(3 * CONNECTIONS):
        client = DealerClient(CONTEXT, endpoint(stack))
        client.socket.linger = 2000
        client.send(SERVICE, b"left %d" % i, b"l", options(engines=["hashes"]))
        client.close()
    assert ask(stack, b"stays", b"s", options(engines=["hashes"]))["status"] == "done"


ground = Ground(options={"broker": ["--mdp", *BEAT],
                         "master": ["--mdp", "--mdp-connections", str(CONNECTIONS), "--max-sample-bytes", str(LIMIT), *BEAT]})
stories = ground.stories(eicar_is_found, a_clean_file_is_not_called_clean_without_reason, options_choose_engines,
                         a_name_may_be_any_bytes, empty_frames, what_is_wrong_is_told, several_clients_at_once,
                         a_client_that_left_costs_nothing, a_master_that_stops_says_so_and_comes_back,
                         a_master_killed_in_the_middle, a_broker_killed_in_the_middle)

if __name__ == "__main__":
    tell(*stories)
