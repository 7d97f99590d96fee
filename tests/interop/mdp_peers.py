"""Majordomo peers (MDP/0.1), written from ZeroMQ's RFC 7 and 8 with python3-zmq, and nothing of ours: two kinds of clients,
and a worker. As a program it is a worker in a process of its own, to be killed."""

import sys
import time

import zmq

CLIENT, WORKER = b"MDPC01", b"MDPW01"
READY, REQUEST, REPLY, HEARTBEAT, DISCONNECT = (bytes([n]) for n in range(1, 6))
LIVENESS = 3


def dress(socket, keys):
    """keys: (the server's public key, our public key, our secret key), or None."""
    socket.linger = 0
    if keys:
        socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = keys
    return socket


class ReqClient:
    """One request at a time. Who hears nothing opens a new socket and asks again ("lazy pirate")."""

    def __init__(self, context, endpoint, keys=None):
        self.context, self.endpoint, self.keys = context, endpoint, keys
        self.tries = 0  # of all requests
        self.socket = None
        self.open()

    def open(self):
        if self.socket:
            self.socket.close()
        self.socket = dress(self.context.socket(zmq.REQ), self.keys)
        self.socket.connect(self.endpoint)

    def ask(self, service, *body, timeout=10.0, tries=1):
        """The reply's body; None when nobody answered."""
        for _ in range(tries):
            self.tries += 1
            self.socket.send_multipart([CLIENT, service, *body])
            if self.socket.poll(int(timeout * 1000)):
                protocol, from_service, *reply = self.socket.recv_multipart()
                assert (protocol, from_service) == (CLIENT, service), (protocol, from_service)
                return reply
            self.open()
        return None

    def close(self):
        self.socket.close()


class DealerClient:
    """Many requests at once; replies come in any order."""

    def __init__(self, context, endpoint, keys=None, rcvhwm=1000, name=None):
        self.socket = dress(context.socket(zmq.DEALER), keys)
        if name:
            self.socket.routing_id = name
        self.socket.rcvhwm = rcvhwm
        self.socket.connect(endpoint)

    def send(self, service, *body):
        self.socket.send_multipart([b"", CLIENT, service, *body])

    def receive(self, timeout=10.0):
        """(service, body), or None."""
        if not self.socket.poll(int(timeout * 1000)):
            return None
        empty, protocol, service, *body = self.socket.recv_multipart()
        assert (empty, protocol) == (b"", CLIENT), (empty, protocol)
        return service, body

    def close(self):
        self.socket.close()


class Worker:
    """One dialogue after the other: READY, requests and replies, heartbeats both ways. A broker that is silent for LIVENESS
    heartbeats, or says DISCONNECT, is left; then a new socket says READY again."""

    def __init__(self, context, endpoint, service, heartbeat=2.5, keys=None):
        self.context, self.endpoint, self.service, self.heartbeat, self.keys = context, endpoint, service, heartbeat, keys
        self.dialogues = self.beats_heard = self.disconnects_heard = 0
        self.socket = None
        self.open()

    def open(self):
        if self.socket:
            self.socket.close()
        self.socket = dress(self.context.socket(zmq.DEALER), self.keys)
        self.socket.connect(self.endpoint)
        self.dialogues += 1
        self.say(READY, self.service)
        self.heard = time.monotonic()

    def say(self, command, *rest):
        self.socket.send_multipart([b"", WORKER, command, *rest])
        self.beat_at = time.monotonic() + self.heartbeat

    def receive(self, timeout):
        """(client, body) of a request, or None when none came in that time."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.socket.poll(max(1, int(min(self.heartbeat, end - time.monotonic()) * 250))):
                self.heard = time.monotonic()
                empty, protocol, command, *rest = self.socket.recv_multipart()
                assert (empty, protocol) == (b"", WORKER), (empty, protocol)
                if command == REQUEST:
                    client, delimiter, *body = rest
                    assert delimiter == b"", rest
                    return client, body
                self.obey(command, rest)
            elif time.monotonic() - self.heard > LIVENESS * self.heartbeat:
                self.open()
            if time.monotonic() >= self.beat_at:
                self.say(HEARTBEAT)
        return None

    def obey(self, command, rest):
        assert rest == [], rest
        if command == HEARTBEAT:
            self.beats_heard += 1
        elif command == DISCONNECT:
            self.disconnects_heard += 1
            self.open()
        else:
            raise AssertionError(f"the broker said {command!r}")

    def reply(self, client, *body):
        self.say(REPLY, client, b"", *body)
        self.heard = time.monotonic()  # it was not listened to meanwhile

    def close(self, say_so=True):
        if say_so:
            self.socket.linger = 1000
            self.say(DISCONNECT)
        self.socket.close()


def main(endpoint, service, heartbeat, stuck):
    """Prints a line for each request. With stuck it never answers one."""
    worker = Worker(zmq.Context(), endpoint, service.encode(), float(heartbeat))
    print("open", flush=True)
    while True:
        request = worker.receive(60)
        if not request:
            continue
        print("request", flush=True)
        if stuck == "stuck":
            sys.stdin.read()  # for ever
        worker.reply(request[0], b"done by process", *request[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
