"""bench/run dispatch's own programs: ours and zmq_proxy bring back every answer, and right, in each of the forms that are
measured; an answer or a job that is damaged on the way is found. Nothing is timed."""

import os
import pathlib
import socket
import struct
import sys
import tempfile
import threading

BUILD = pathlib.Path(os.environ["PHAGESCAN_TEST_BUILD"])
ROOT = pathlib.Path(__file__).resolve().parents[2]
JOBS = 2000
WARM = 200
BASE = {"jobs": JOBS, "warm": WARM, "window": 128, "credit": 128, "size": 200, "engines": 1, "sessions": 1, "threads": 1, "queued": 0}
ENOUGH = 64 << 10  # bytes read at once


def load(prefix):
    """The bench's modules, told where the programs of this build are."""
    (prefix / "bin").mkdir()
    (prefix / "bin" / "phagescan-broker").symlink_to(BUILD / "broker" / "daemon" / "phagescan-broker")
    os.environ["PHAGESCAN_LIB"] = str(prefix)
    os.environ["PHAGESCAN_BENCH_PROGRAMS"] = str(BUILD / "bench")
    sys.path.insert(0, str(ROOT / "bench"))
    import counts
    import peers
    return peers, counts


def word(i):
    """The bytes at offset i of every payload, but for pieces' first: payload_mix in bench/dispatch/payload.c."""
    mask = (1 << 64) - 1
    x = i
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return struct.pack("<Q", x ^ (x >> 31))


class Relay:
    """TCP from a port of its own to another; spoils the first `good` that goes one way (answers: back) by a byte."""

    def __init__(self, port, good, answers):
        self.port, self.good, self.answers, self.spoiled_n = port, good, answers, 0
        self.lock, self.sockets = threading.Lock(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                here = self.listener.accept()[0]
                there = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                return  # closed: the end
            self.sockets += [here, there]
            for pair, back in (((here, there), False), ((there, here), True)):
                threading.Thread(target=self.carry, args=(*pair, back == self.answers), daemon=True).start()

    def spoil(self, data):
        with self.lock:
            at = -1 if self.spoiled_n else data.find(self.good)
            if at < 0:
                return data
            self.spoiled_n += 1
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

    def carry(self, source, sink, spoils):
        try:
            while data := source.recv(ENOUGH):
                sink.sendall(self.spoil(data) if spoils else data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of them went

    def close(self):
        for one in (self.listener, *self.sockets):
            one.close()


class Stage:
    def __init__(self, peers, scratch):
        self.peers, self.scratch = peers, scratch

    def run(self, who, **settings):
        with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
            return who.run(pathlib.Path(directory), {**BASE, **settings})

    def all_right(self, who, **settings):
        case = {**BASE, **settings}
        got = self.run(who, **settings)
        assert got["jobs"] == case["jobs"] - case["warm"], got
        if not case["queued"]:
            assert set(got["cost"]) == {"client", "broker", "worker"} and got["cost"]["broker"]["cpu_s"] > 0, got
        return got

    def found(self, who, good, answers):
        """The client says that something is wrong, and what."""
        relays = []

        def through(endpoint):
            relays.append(Relay(int(endpoint.rsplit(":", 1)[1]), good, answers))
            return f"tcp://127.0.0.1:{relays[0].listener.getsockname()[1]}"

        try:
            self.run(who(through))
        except RuntimeError as error:
            assert "a wrong answer" in str(error) and relays[0].spoiled_n == 1, error
        else:
            raise AssertionError(f"{who}: a wrong answer was taken for a right one")
        finally:
            relays[0].close()


def ours_is_right(stage):
    peers = stage.peers
    stage.all_right(peers.Ours())
    stage.all_right(peers.Ours("ipc"), window=1, jobs=300)
    stage.all_right(peers.Ours(curve=True), window=1024, credit=1024, jobs=4000, warm=1024)
    stage.all_right(peers.Ours(), engines=8)
    stage.all_right(peers.Ours(), size=1 << 20, jobs=40, warm=8, window=8)
    stage.all_right(peers.Ours(), sessions=50, threads=2)
    stage.all_right(peers.Ours(), queued=5000)


def zmq_proxy_is_right(stage):
    peers = stage.peers
    stage.all_right(peers.Proxy())
    stage.all_right(peers.Proxy("ipc"), window=1, jobs=300)
    stage.all_right(peers.Proxy(batch=128), window=1024, jobs=4000, warm=1024)
    stage.all_right(peers.Proxy(), size=1 << 20, jobs=40, warm=8, window=8)


def waiting_jobs_are_weighed(stage):
    for who in (stage.peers.Ours(), stage.peers.Proxy()):
        with tempfile.TemporaryDirectory(dir=stage.scratch) as directory:
            assert who.fill(pathlib.Path(directory), {**BASE, "jobs": 20_000}) > BASE["size"]


def perf_counts_every_process(stage, counts):
    if not counts.available():
        print("perf counts nothing here: left out")
        return
    got = stage.all_right(stage.peers.Proxy(), counts=True)["counts"]
    assert set(got) == {"client", "broker", "worker"}, got
    assert all(set(values) == set(counts.available()) for values in got.values()), got


def damage_is_found(stage):
    peers = stage.peers

    class Ours(peers.Ours):
        def __init__(self, through):
            super().__init__()
            self.through = through

        def start_broker(self, crew):
            broker = super().start_broker(crew)
            self.endpoint = self.through(self.endpoint)
            return broker

    class Proxy(peers.Proxy):
        def __init__(self, through):
            super().__init__()
            self.through = through

        def start_proxy(self, crew):
            proxy, front, back = super().start_proxy(crew)
            return proxy, self.through(front), back

    stage.found(Ours, word(64), answers=False)
    stage.found(Ours, word(64), answers=True)  # on its way to the worker
    stage.found(Proxy, word(64), answers=False)
    stage.found(Proxy, b"a" * 40, answers=True)


def main():
    with tempfile.TemporaryDirectory(prefix="ps-bench-") as scratch:
        scratch = pathlib.Path(scratch)
        peers, counts = load(scratch)
        stage = Stage(peers, scratch)
        for story in (ours_is_right, zmq_proxy_is_right, waiting_jobs_are_weighed, damage_is_found):
            story(stage)
            print(f"{story.__name__}: ok", flush=True)
        perf_counts_every_process(stage, counts)


main()
