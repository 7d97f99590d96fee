"""The broker's Majordomo front against peers written from the RFC: with python3-zmq here (mdp_peers.py), and in C on czmq
(mdp_czmq.c)."""

import signal
import stat
import time

from mdp_peers import CLIENT, DISCONNECT, HEARTBEAT, LIVENESS, READY, REPLY, WORKER
from mdp_rig import BEAT, C_PEER, Broker, Process, Serving, echo, python_worker, run, until


def a_req_client_is_answered():
    with Broker() as broker, Serving(broker, b"echo", echo) as serving:
        client = broker.req()
        for body in ([b"one"], [b"", b"\0\1\0", b""], [bytes(range(256)) * 4096]):
            assert client.ask(b"echo", *body) == [b"echo", *body]
        assert serving.served == 3 and client.tries == 3
        assert stat.S_IMODE(broker.path.stat().st_mode) == 0o600


def a_dealer_client_has_many_in_flight():
    n = 600
    with Broker() as broker, Serving(broker, b"echo", echo) as a, Serving(broker, b"echo", echo) as b, \
            Serving(broker, b"other", lambda *body: [b"other", *body]) as other:
        client = broker.dealer()
        for i in range(n):
            client.send(b"other" if i % 3 == 0 else b"echo", b"%d" % i)
        replies = [client.receive() for _ in range(n)]
        assert None not in replies
        wanted = {(b"other" if i % 3 == 0 else b"echo", b"other" if i % 3 == 0 else b"echo", b"%d" % i) for i in range(n)}
        assert {(service, *body) for service, body in replies} == wanted
        assert client.receive(0.2) is None
        until(lambda: other.served == n // 3 and a.served + b.served == n - n // 3, 5, "the last reply's count")
        assert a.served and b.served, (a.served, b.served)


def a_request_waits_for_a_worker():
    with Broker() as broker:
        client = broker.dealer()
        for i in range(5):
            client.send(b"late", b"%d" % i)
        assert client.receive(3 * BEAT) is None
        assert broker.status(b"late") == b"404"
        with Serving(broker, b"late", echo):
            assert [client.receive() for _ in range(5)] == [(b"late", [b"echo", b"%d" % i]) for i in range(5)]


def a_request_that_waits_too_long_is_dropped():
    with Broker("--mdp-wait", "300ms") as broker:
        client = broker.dealer()
        client.send(b"late", b"old")
        until(lambda: client.receive(0.6) is None, 5, "nothing")
        with Serving(broker, b"late", echo):
            client.send(b"late", b"new")
            assert client.receive() == (b"late", [b"echo", b"new"])
            assert client.receive(0.3) is None


def the_broker_answers_for_itself():
    with Broker() as broker:
        client = broker.req()
        assert client.ask(b"mmi.service", b"here") == [b"404"]
        with Serving(broker, b"here", echo):
            assert client.ask(b"mmi.service", b"here") == [b"200"]
            assert client.ask(b"mmi.service", b"her") == [b"404"]
        broker.wait_status(b"here", b"404")
        assert client.ask(b"mmi.service", b"") == [b"404"]
        assert client.ask(b"mmi.service", b"x" * 300) == [b"404"]
        assert client.ask(b"mmi.other", b"here") == [b"501"]
        assert client.ask(b"mmi.", b"") == [b"501"]


def heartbeats_keep_a_worker_and_silence_loses_it():
    with Broker() as broker:
        with Serving(broker, b"alive", echo) as serving:
            until(lambda: serving.worker.beats_heard >= 3 * LIVENESS, 20, "heartbeats of the broker")
            assert serving.worker.dialogues == 1 and broker.status(b"alive") == b"200"

        silent = broker.worker(b"silent")
        broker.wait_status(b"silent", b"200", 5)
        at = time.monotonic()
        broker.wait_status(b"silent", b"404")
        assert time.monotonic() - at > (LIVENESS - 1) * BEAT
        silent.say(HEARTBEAT)  # of whom nobody knows any more
        until(lambda: silent.receive(BEAT) or silent.dialogues == 2, 10, "a new dialogue")
        assert silent.disconnects_heard == 1 and broker.status(b"silent") == b"200"
        silent.close()
        broker.wait_status(b"silent", b"404", BEAT * 2)  # at once: it said so


def a_slow_worker_keeps_its_request_and_delays_nobody():
    """It works for longer than three heartbeats, and classic workers say nothing meanwhile."""
    with Broker() as broker, Serving(broker, b"fast", echo):
        slow = broker.worker(b"slow")
        client, other = broker.dealer(), broker.req()
        client.send(b"slow", b"a")
        address, body = slow.receive(10)
        end = time.monotonic() + 2 * LIVENESS * BEAT
        worst = 0.0
        while time.monotonic() < end:
            at = time.monotonic()
            assert other.ask(b"fast", b"x") == [b"echo", b"x"]
            worst = max(worst, time.monotonic() - at)
        assert worst < LIVENESS * BEAT, worst
        assert broker.status(b"slow") == b"200"
        slow.reply(address, b"slow", *body)
        assert client.receive() == (b"slow", [b"slow", b"a"])


def a_worker_killed_in_the_middle(worker_of):
    """What it had is lost; the client asks again, and the next worker has it."""
    with Broker() as broker, worker_of(broker, b"job", True) as stuck:
        assert stuck.line() == "open"
        client = broker.dealer()
        client.send(b"job", b"first try")
        assert stuck.line() == "request"
        stuck.kill()
        broker.wait_status(b"job", b"404")
        client.send(b"job", b"second try")
        with worker_of(broker, b"job", False) as good:
            assert good.line() == "open" and good.line() == "request"
            assert client.receive() == (b"job", [b"done by process", b"second try"])
            assert client.receive(4 * BEAT) is None  # the first is not repeated by the broker


def a_python_worker_killed_in_the_middle():
    a_worker_killed_in_the_middle(python_worker)


def a_req_client_tries_again():
    """Of two workers the first to be asked hangs: a client of the lazy kind gets its answer by the second."""
    with Broker() as broker, python_worker(broker, b"job", stuck=True) as stuck:
        assert stuck.line() == "open"
        broker.wait_status(b"job", b"200")
        with Serving(broker, b"job", echo):
            client = broker.req()
            assert client.ask(b"job", b"x", timeout=1, tries=5) == [b"echo", b"x"]
            assert client.tries == 2, client.tries
            assert stuck.line() == "request"


def peers_come_back_after(broker, leave, pause, come=None):
    with Serving(broker, b"echo", echo) as serving:
        client, many = broker.req(), broker.dealer()
        assert client.ask(b"echo", b"before") == [b"echo", b"before"]
        leave()
        end = time.monotonic() + pause
        until(lambda: time.monotonic() >= end, pause + 1, "the pause to be over")
        (come or broker.start)()
        assert client.ask(b"echo", b"after", timeout=1, tries=20) == [b"echo", b"after"]
        many.send(b"echo", b"many")
        assert many.receive() == (b"echo", [b"echo", b"many"])
        until(lambda: serving.worker.dialogues >= 2, 10, "a second dialogue")
        broker.wait_status(b"echo", b"200")


def a_broker_killed_and_soon_there_again():
    """Before anybody missed it: the worker's next heartbeat is answered by DISCONNECT, so it says READY."""
    with Broker() as broker:
        peers_come_back_after(broker, broker.kill, 0)


def a_broker_killed_and_late_there_again():
    """After its silence was noticed."""
    with Broker() as broker:
        peers_come_back_after(broker, broker.kill, 2 * LIVENESS * BEAT)


def a_broker_that_slept():
    """It blames nobody for its own absence; its workers have left it meanwhile, and come back."""
    with Broker() as broker:
        peers_come_back_after(broker, lambda: broker.process.send_signal(signal.SIGSTOP), 2 * LIVENESS * BEAT,
                              lambda: broker.process.send_signal(signal.SIGCONT))


def a_broker_that_is_stopped_says_so():
    with Broker() as broker:
        worker = broker.worker(b"echo")
        broker.wait_status(b"echo", b"200")
        broker.stop()
        until(lambda: worker.receive(BEAT) or worker.disconnects_heard, 5, "DISCONNECT")
        worker.close(say_so=False)
        broker.start()
        peers_come_back_after(broker, broker.stop, 0)


def what_is_in_flight_dies_with_the_broker():
    """RFC 7: the client asks again. A reply to a request of the life before is no reply."""
    with Broker() as broker:
        worker, client = broker.worker(b"job"), broker.dealer()
        client.send(b"job", b"lost")
        address, body = worker.receive(10)
        broker.kill()
        broker.start()
        worker.reply(address, b"too late", *body)
        until(lambda: worker.receive(BEAT) or worker.dialogues == 2, 20, "a new dialogue")
        client.send(b"job", b"again")
        address, body = worker.receive(10)
        assert body == [b"again"], body
        worker.reply(address, b"ok", *body)
        assert client.receive() == (b"job", [b"ok", b"again"])


def what_is_not_expected_is_answered_by_disconnect():
    with Broker() as broker:
        for first in ([REPLY, b"client", b"", b"x"], [HEARTBEAT], [READY, b"mmi.service"]):
            peer = broker.dealer().socket
            peer.send_multipart([b"", WORKER, *first])
            assert peer.poll(5000) and peer.recv_multipart() == [b"", WORKER, DISCONNECT], first
        twice = broker.dealer().socket
        for _ in range(2):
            twice.send_multipart([b"", WORKER, READY, b"twice"])
        answers = []
        until(lambda: twice.poll(1000) and (answers.append(twice.recv_multipart()) or answers[-1][2] == DISCONNECT), 10,
              "DISCONNECT")
        assert broker.status(b"twice") == b"404"


def a_worker_is_shown_no_routing_id():
    """Else it knew where the ROUTER counts. What it is shown serves for one reply, to the client that asked."""
    with Broker() as broker:
        worker, asker, bystander = broker.worker(b"job"), broker.dealer(name=b"the asker"), broker.dealer(name=b"bystander")
        broker.wait_status(b"job", b"200")
        for client in (asker, bystander):
            client.send(b"mmi.service", b"job")
            assert client.receive() == (b"mmi.service", [b"200"])  # the broker knows both under these names
        shown = []
        for i in range(20):
            asker.send(b"job", b"%d" % i)
            address, body = worker.receive(10)
            shown.append(address)
            worker.reply(address, *body)
            assert asker.receive() == (b"job", [b"%d" % i])
        # One client, twenty addresses: they are not made of its id, whether it chose one or libzmq did.
        assert len(set(shown)) == 20 and {len(address) for address in shown} == {8}, shown
        assert not any(b"asker" in address for address in shown)

        for forged in (b"bystander", b"the asker", shown[-1]):
            asker.send(b"job", b"confidential")
            address, _ = worker.receive(10)
            dialogues = worker.dialogues
            worker.reply(forged, b"forged")
            until(lambda: worker.receive(BEAT) or worker.dialogues > dialogues, 10, "DISCONNECT")
            worker.reply(address, b"too late")  # another dialogue: it asked for nothing there
            until(lambda: worker.receive(BEAT) or worker.dialogues > dialogues + 1, 10, "DISCONNECT")
            broker.wait_status(b"job", b"200")
        assert asker.receive(2 * BEAT) is None and bystander.receive(0) is None


def nonsense_hurts_nobody():
    with Broker("--mdp-message-bytes", "1M") as broker, Serving(broker, b"echo", echo):
        nonsense = ([b""], [b"x"], [b"", b""], [b"", CLIENT], [b"", CLIENT, b"echo"], [b"", CLIENT, b"", b"x"],
                    [b"", CLIENT, b"s" * 256, b"x"], [b"", b"MDPC02", b"echo", b"x"], [b"x", CLIENT, b"echo", b"x"],
                    [b"", WORKER], [b"", WORKER, b""], [b"", WORKER, b"\x06"], [b"", WORKER, b"\x01"],
                    [b"", WORKER, REPLY, b"c", b"x", b"y"], [b""] * 500, [b"", CLIENT, b"echo", *[b"x"] * 500])
        for frames in nonsense:
            client = broker.dealer()
            client.socket.send_multipart(frames)
            client.send(b"echo", b"good")  # the same connection
            assert client.receive() == (b"echo", [b"echo", b"good"]), frames
            assert client.receive(0) is None
        client = broker.dealer()
        client.send(b"echo", b"y" * (2 << 20))  # over the limit: the connection ends, and comes back by itself
        until(lambda: client.send(b"echo", b"good") or client.receive(1), 20, "an answer")


def a_deaf_client_blocks_nobody():
    """Replies that it does not read are dropped at the high-water mark."""
    n = 4000
    with Broker() as broker, Serving(broker, b"echo", echo) as serving:
        deaf, client = broker.dealer(rcvhwm=1), broker.req()
        for _ in range(n):
            deaf.send(b"echo", b"z" * 2000)
        assert client.ask(b"echo", b"x") == [b"echo", b"x"]
        until(lambda: serving.served == n + 1, 30, "all requests to be served")
        broker.stop()
        assert "undelivered=" in broker.log() and "undelivered=0" not in broker.log(), broker.log()


# ---- C ----


def c_worker(broker, service, stuck=False):
    return Process(C_PEER, "worker", broker.endpoint, service.decode(), int(BEAT * 1000), "stuck" if stuck else "answer")


def c_client(broker, service, n, tries=3):
    return Process(C_PEER, "client", broker.endpoint, service.decode(), n, 2000, tries)


def c_peers_on_both_sides():
    with Broker() as broker, c_worker(broker, b"job") as worker:
        assert worker.line() == "open"
        with c_client(broker, b"job", 200) as client:
            assert client.end() == (0, "200 answered\n")
        worker.terminate()
        worker.process.wait(30)
        assert worker.process.returncode == 0
        broker.wait_status(b"job", b"404", 2 * BEAT)  # it said DISCONNECT


def c_and_python_peers():
    with Broker() as broker:
        with c_worker(broker, b"job") as worker:
            assert worker.line() == "open"
            assert broker.req().ask(b"job", b"a", b"b") == [b"done by process", b"a", b"b"]
        with Serving(broker, b"py", lambda *body: [b"done by process", *body]):
            with c_client(broker, b"py", 100) as client:
                assert client.end() == (0, "100 answered\n")


def a_c_worker_killed_in_the_middle():
    a_worker_killed_in_the_middle(c_worker)


def c_peers_outlive_the_broker():
    with Broker() as broker, c_worker(broker, b"job") as worker:
        assert worker.line() == "open"
        with c_client(broker, b"job", 2000, tries=20) as client:
            for _ in range(100):
                assert worker.line() == "request"
            broker.kill()
            broker.start()
            status, out = client.end(120)
            assert status == 0 and out == "2000 answered\n", (status, out)


if __name__ == "__main__":
    run(a_req_client_is_answered, a_dealer_client_has_many_in_flight, a_request_waits_for_a_worker,
        a_request_that_waits_too_long_is_dropped, the_broker_answers_for_itself,
        heartbeats_keep_a_worker_and_silence_loses_it, a_slow_worker_keeps_its_request_and_delays_nobody,
        a_python_worker_killed_in_the_middle, a_req_client_tries_again, a_broker_killed_and_soon_there_again,
        a_broker_killed_and_late_there_again, a_broker_that_slept, a_broker_that_is_stopped_says_so,
        what_is_in_flight_dies_with_the_broker,
        what_is_not_expected_is_answered_by_disconnect, a_worker_is_shown_no_routing_id, nonsense_hurts_nobody,
        a_deaf_client_blocks_nobody, c_peers_on_both_sides, c_and_python_peers, a_c_worker_killed_in_the_middle,
        c_peers_outlive_the_broker)
