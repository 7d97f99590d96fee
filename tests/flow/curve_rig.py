"""What the tests of keys share: a stack whose broker listens on TCP with CURVE, keys made by `phagescan keys`, and a peer that
says single records over a DEALER of its own (docs/protocol.md)."""

import os
import pathlib
import re
import struct
import sys

import zmq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "story"))
from stack import Stack, run, until  # noqa: E402,F401

MASTER, WORKER = 1, 2
HELLO, WELCOME, REFUSED, PULSE, GRANT, FLEET = 1, 2, 3, 6, 33, 36


# ---- records ----

def pack(value):
    """MessagePack, as much of it as records need."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, str):
        return b"\xd9" + bytes([len(value.encode())]) + value.encode()
    if isinstance(value, bytes):
        return b"\xc4" + bytes([len(value)]) + value
    return b"\xdc" + struct.pack(">H", len(value)) + b"".join(map(pack, value))


def unpack(data, at=0):
    """(value, where the next begins)"""
    c = data[at]
    if c < 0x80:
        return c, at + 1
    if c in (0xc2, 0xc3):
        return c == 0xc3, at + 1
    for first, size in ((0xcc, 1), (0xcd, 2), (0xce, 4), (0xcf, 8)):
        if c == first:
            return int.from_bytes(data[at + 1:at + 1 + size], "big"), at + 1 + size
    if 0x90 <= c < 0xa0 or c == 0xdc:
        n, at = (c & 15, at + 1) if c != 0xdc else (int.from_bytes(data[at + 1:at + 3], "big"), at + 3)
        items = []
        for _ in range(n):
            item, at = unpack(data, at)
            items.append(item)
        return items, at
    if 0xa0 <= c < 0xc0:
        return data[at + 1:at + 1 + (c & 31)].decode(), at + 1 + (c & 31)
    size = {0xc4: 1, 0xd9: 1, 0xc5: 2, 0xda: 2}[c]
    n = int.from_bytes(data[at + 1:at + 1 + size], "big")
    body = data[at + 1 + size:at + 1 + size + n]
    return (body.decode() if c in (0xd9, 0xda) else body), at + 1 + size + n


# ---- a peer ----

class Peer:
    """One DEALER. key: a path without its _secret; broker_key: the broker's public file. Nothing is believed of it."""

    context = zmq.Context.instance()

    def __init__(self, endpoint, key=None, broker_key=None, routing_id=None):
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        if routing_id:
            self.socket.setsockopt(zmq.ROUTING_ID, routing_id)
        if key:
            own = key_of(str(key) + "_secret")
            self.socket.curve_publickey, self.socket.curve_secretkey = own
            self.socket.curve_serverkey = key_of(broker_key)[0]
        self.socket.connect(endpoint)
        self.heard = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, *record):
        self.socket.send(pack(list(record)))

    def hello(self, role, session=0, token=b""):
        self.say(HELLO, 1, 1, role, "rig", session, token)

    def hear(self, seconds=10):
        """The next record that is no PULSE; None when none comes."""
        while not self.heard:
            if not self.socket.poll(seconds * 1000):
                return None
            data, at = self.socket.recv_multipart()[0], 0
            while at < len(data):
                record, at = unpack(data, at)
                if record[0] != PULSE:
                    self.heard.append(record)
        return self.heard.pop(0)

    def expect(self, what, seconds=10):
        record = self.hear(seconds)
        assert record and record[0] == what, record
        return record

    def silence(self, seconds=1.5):
        record = self.hear(seconds)
        assert record is None, record


def key_of(path):
    text = pathlib.Path(path).read_text()
    found = dict(re.findall(r'(public-key|secret-key) = "(.{40})"', text))
    return found["public-key"].encode(), found.get("secret-key", "").encode()


# ---- a stack with keys ----

class Fleet(Stack):
    """with Fleet() as f: f.key("w1", "worker"); f.allow("w1"); f.worker("worker", "w1"). The broker runs, the rest is to be
    started; the directory of the keys that were made is f.made."""

    def __init__(self, broker=(), **kwargs):
        super().__init__(start=(), **kwargs)
        self.broker_options = list(broker)

    def __enter__(self):
        super().__enter__()
        try:
            self.made = self.dir / "made"
            self.made.mkdir()
            self.keys("broker")
            self.broker_key = self.state / "keys/broker.key"
            self.start_broker("127.0.0.1:0")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def start_broker(self, where):
        self.options["broker"] = ["--listen-tcp", where, *self.broker_options]
        before = len(self.logged("broker", "listening"))
        self.start("broker")
        line = until(lambda: self.logged("broker", "listening")[before:], 30, "the TCP endpoint")[0]
        self.endpoint = re.search(r"endpoint=(tcp://\S+)", line).group(1)

    def keys(self, *args, status=0):
        done = self.cli("keys", *args)
        assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout if status == 0 else done.stderr

    def key(self, name, role):
        self.keys("new", name, "--role", role, "--out", self.made)
        return self.made / f"{name}.key"

    def allow(self, name, *args):
        self.keys("allow", self.made / f"{name}.key", *args)

    def peer(self, name=None, **kwargs):
        if not name:
            return Peer(self.endpoint, **kwargs)
        return Peer(self.endpoint, self.made / f"{name}.key", self.broker_key, **kwargs)

    def local(self):
        """A peer at the UNIX socket: nobody asks for its key."""
        return Peer("ipc://" + self.broker_sock("broker"))

    def tcp(self, name):
        """Options of a program that speaks to the broker over TCP with that key."""
        return ["--broker", self.endpoint, "--key", str(self.made / f"{name}.key"), "--broker-key", str(self.broker_key)]

    def logged(self, program, event):
        log = self.dir / f"{program}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return [line for line in lines if re.search(rf"event={event}( |$)", line)]

    def await_log(self, program, event, *words, after=0, seconds=30):
        """The first line of that event with these words, the first `after` ones of the event left out."""
        def there():
            return [line for line in self.logged(program, event)[after:] if all(word in line for word in words)]
        return until(there, seconds, f"{event} {words} in {program}.log")[0]


def tell(*stories):
    """As run does; names on the command line choose among them."""
    run(*[s for s in stories if len(sys.argv) < 2 or s.__name__ in sys.argv[1:]])


ROOT = os.geteuid() == 0
