"""The Majordomo front on TCP: CURVE, keys with rights, a key that is taken away."""

import os
import re
import subprocess

import zmq

from mdp_peers import DISCONNECT, HEARTBEAT, READY, REPLY, WORKER, DealerClient, ReqClient, Worker
from mdp_rig import BEAT, BUILD, Broker, Serving, echo, run, until


class Keys:
    """Certificate files: ours (the broker's), and those of peers in a directory."""

    def __init__(self, directory):
        self.allowed = directory / "allowed"
        self.allowed.mkdir()
        self.path = directory / "broker.key"
        self.server, secret = self.write(self.path, "broker", None)
        secret_path = directory / "broker.key_secret"
        with open(os.open(secret_path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(self.text("broker", None, self.server, secret))

    @staticmethod
    def text(name, roles, public, secret=None):
        lines = ["metadata", f'    name = "{name}"']
        lines += [f'    roles = "{roles}"'] if roles else []
        lines += ["curve", f'    public-key = "{public.decode()}"']
        lines += [f'    secret-key = "{secret.decode()}"'] if secret else []
        return "\n".join(lines) + "\n"

    def write(self, path, name, roles):
        public, secret = zmq.curve_keypair()
        path.write_text(self.text(name, roles, public))
        return public, secret

    def peer(self, name, roles):
        """What a peer of that name needs: (server key, its public key, its secret key)."""
        return self.server, *self.write(self.allowed / f"{name}.key", name, roles)

    def stranger(self):
        return self.server, *zmq.curve_keypair()

    def take_away(self, name):
        (self.allowed / f"{name}.key").unlink()


class TcpBroker(Broker):
    """options that need the directory are made in start."""

    def start(self):
        if not hasattr(self, "keys"):
            self.keys = Keys(self.dir)
            self.asker = self.keys.peer("asker", "client")
            self.offerer = self.keys.peer("offerer", "service")
            self.other = self.keys.peer("other", "worker,master")
            self.options = ("--mdp-listen-tcp", "127.0.0.1:*", "--key", self.keys.path, "--allowed", self.keys.allowed)
        super().start()
        self.tcp = re.findall(r"mdp-listening endpoint=(tcp://127\.0\.0\.1:\d+)", self.log())[-1]

    def tcp_status(self, service):
        client = ReqClient(self.context, self.tcp, self.asker)
        answer = client.ask(b"mmi.service", service)
        client.close()
        return answer[0]


def peers_with_keys_are_served():
    with TcpBroker() as broker:
        # A worker over TCP, a client over each road; the service is told to the rig over the UNIX socket.
        worker = Worker(broker.context, broker.tcp, b"echo", BEAT, broker.offerer)
        broker.wait_status(b"echo", b"200")
        client = DealerClient(broker.context, broker.tcp, broker.asker)
        for i in range(20):
            client.send(b"echo", b"%d" % i)
        for _ in range(20):
            address, body = worker.receive(10)
            worker.reply(address, *echo(*body))
        assert {client.receive()[1][1] for _ in range(20)} == {b"%d" % i for i in range(20)}
        local = broker.dealer()
        local.send(b"echo", b"local")
        address, body = worker.receive(10)
        worker.reply(address, *echo(*body))
        assert local.receive() == (b"echo", [b"echo", b"local"])
        until(lambda: worker.receive(BEAT) or worker.beats_heard >= 4, 20, "heartbeats")
        assert worker.dialogues == 1
        worker.close()
        with Serving(broker, b"unix", echo):
            req = ReqClient(broker.context, broker.tcp, broker.asker)
            assert req.ask(b"unix", b"x" * 1_000_000) == [b"echo", b"x" * 1_000_000]


def strangers_are_refused():
    with TcpBroker() as broker, Serving(broker, b"echo", echo) as serving:
        wrong_server = (zmq.curve_keypair()[0], *broker.asker[1:])
        for keys in (None, broker.keys.stranger(), wrong_server, broker.other):
            client = DealerClient(broker.context, broker.tcp, keys)
            client.send(b"echo", b"let me in")
            assert client.receive(1) is None, keys
            client.close()
        assert serving.served == 0
        assert 'why="unknown key"' in broker.log() and 'why="no role for this door"' in broker.log(), broker.log()
        # Who has no CURVE may have hung up before libzmq had read why.
        assert "it does not speak CURVE" in broker.log() or "it left in the middle" in broker.log(), broker.log()
        assert "another public key of ours" in broker.log(), broker.log()


def a_client_may_not_offer_and_a_service_may_not_ask():
    """Else one client could be given what the others send."""
    with TcpBroker() as broker:
        thief = Worker(broker.context, broker.tcp, b"scan", BEAT, broker.asker)
        assert broker.tcp_status(b"scan") == b"404"  # the same road and later: what came before was looked at
        assert thief.receive(2 * BEAT) is None
        until(lambda: broker.tcp_status(b"scan") == b"404", 1, "404")
        with Serving(broker, b"echo", echo) as serving:
            client = DealerClient(broker.context, broker.tcp, broker.offerer)
            client.send(b"echo", b"x")
            assert client.receive(1) is None and serving.served == 0
        broker.stop()
        assert re.search(r"denied=[1-9]", broker.log()), broker.log()


def a_key_taken_away_gets_nothing_more():
    with TcpBroker() as broker:
        worker = DealerClient(broker.context, broker.tcp, broker.offerer).socket
        worker.send_multipart([b"", WORKER, READY, b"job"])
        broker.wait_status(b"job", b"200")
        client = DealerClient(broker.context, broker.tcp, broker.asker)
        client.send(b"mmi.service", b"job")
        assert client.receive() == (b"mmi.service", [b"200"])

        loads = broker.log().count("event=keys-loaded")
        broker.keys.take_away("offerer")
        until(lambda: broker.log().count("event=keys-loaded") > loads, 10, "the keys to be read again")
        broker.dealer().send(b"job", b"confidential")
        end = [worker.recv_multipart() for _ in range(100) if worker.poll(20)]
        assert all(frames[2] == HEARTBEAT for frames in end), end
        broker.wait_status(b"job", b"404", 5)
        worker.send_multipart([b"", WORKER, READY, b"job"])  # the connection is still there; nobody listens
        worker.send_multipart([b"", WORKER, REPLY, b"x", b"", b"y"])
        assert not worker.poll(int(2000 * BEAT)) or worker.recv_multipart()[2] != DISCONNECT
        assert broker.status(b"job") == b"404"

        loads = broker.log().count("event=keys-loaded")
        broker.keys.take_away("asker")
        until(lambda: broker.log().count("event=keys-loaded") > loads, 10, "the keys to be read again")
        client.send(b"mmi.service", b"job")
        assert client.receive(1) is None


def tcp_without_a_key_is_refused():
    with Broker() as broker:
        for options, word in ((["--mdp-listen-tcp", "127.0.0.1:*"], "needs a key"),
                              (["--mdp-listen-tcp", "127.0.0.1:*", "--insecure-tcp"], "needs a key"),
                              (["--mdp-listen-tcp", "127.0.0.1:*", "--insecure-tcp", "--listen-tcp", "127.0.0.1:*"],
                               "needs a key")):
            done = subprocess.run([BUILD / "broker/daemon/phagescan-broker", "--listen", broker.dir / "b2.sock", *options],
                                  env=dict(os.environ, PHAGESCAN_STATE=str(broker.dir / "s2")), capture_output=True, text=True,
                                  timeout=30)
            assert done.returncode == 1 and word in done.stderr, (options, done)


if __name__ == "__main__":
    run(peers_with_keys_are_served, strangers_are_refused, a_client_may_not_offer_and_a_service_may_not_ask,
        a_key_taken_away_gets_nothing_more, tcp_without_a_key_is_refused)
