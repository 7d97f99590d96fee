"""What the interop tests of MDP share: phagescan-broker in a temporary directory, workers in threads and processes."""

import contextlib
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

import zmq

from mdp_peers import DealerClient, ReqClient, Worker

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "story"))
from stack import BUILD, run, until  # noqa: E402 (the path comes first)

BEAT = 0.25  # seconds: short, so that three missed ones are soon over
C_PEER = BUILD / "tests/interop/mdp_czmq"

__all__ = ["BEAT", "BUILD", "Broker", "C_PEER", "Process", "Serving", "echo", "run", "until"]


def echo(*body):
    return [b"echo", *body]


class Broker:
    """A broker with the front on, to be killed and started again. Clients and workers of the test are closed with it."""

    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="phagescan-mdp."))
        self.path = self.dir / "mdp.sock"
        self.endpoint = f"ipc://{self.path}"
        self.context = zmq.Context()
        self.process = None
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.stop()
        finally:
            if kind:
                sys.stderr.write((self.dir / "broker.log").read_text(errors="replace"))
            self.context.destroy(linger=0)
            shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        ready_r, ready_w = os.pipe()
        with open(self.dir / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                [BUILD / "broker/daemon/phagescan-broker", "--listen", self.dir / "broker.sock", "--mdp-listen", self.path,
                 "--mdp-heartbeat", f"{int(BEAT * 1000)}ms", "--ready-fd", str(ready_w), *map(str, self.options)],
                env=dict(os.environ, PHAGESCAN_STATE=str(self.dir / "state")), pass_fds=[ready_w], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        os.close(ready_w)
        readable, _, _ = select.select([ready_r], [], [], 60)
        said = os.read(ready_r, 64) if readable else b""
        os.close(ready_r)
        assert said.startswith(b"ready"), (said, self.log())

    def log(self):
        return (self.dir / "broker.log").read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """As an operator does. Sanitizers speak at the end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(30)
            assert self.process.returncode == 0, self.log()

    def req(self, **kwargs):
        return ReqClient(self.context, self.endpoint, **kwargs)

    def dealer(self, **kwargs):
        return DealerClient(self.context, self.endpoint, **kwargs)

    def worker(self, service, **kwargs):
        return Worker(self.context, self.endpoint, service, **{"heartbeat": BEAT, **kwargs})

    def status(self, service):
        """What mmi.service says: b"200", b"404"."""
        client = self.req()
        with contextlib.closing(client):
            answer = client.ask(b"mmi.service", service)
        assert answer and len(answer) == 1, answer
        return answer[0]

    def wait_status(self, service, wanted, seconds=20):
        until(lambda: self.status(service) == wanted, seconds, f"{service} to be {wanted}")


class Serving:
    """with Serving(broker, b"service", function): a worker in a thread; function takes frames and gives frames."""

    def __init__(self, broker, service, function, **kwargs):
        self.broker, self.service, self.function, self.kwargs = broker, service, function, kwargs
        self.stop = threading.Event()
        self.failed = None
        self.served = 0
        self.thread = threading.Thread(target=self.work, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.broker.wait_status(self.service, b"200")
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
        if self.failed:
            raise self.failed

    def work(self):
        try:
            self.worker = self.broker.worker(self.service, **self.kwargs)
            while not self.stop.is_set():
                request = self.worker.receive(0.1)
                if request:
                    self.worker.reply(request[0], *self.function(*request[1]))
                    self.served += 1
            self.worker.close()
        except Exception as error:  # told by the thread that waits
            self.failed = error


class Process:
    """A peer in a process of its own; line(): the next that it prints."""

    def __init__(self, *args):
        self.args = [str(a) for a in args]

    def __enter__(self):
        self.process = subprocess.Popen(self.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind, value, trace):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()

    def line(self, seconds=30):
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        assert readable, f"{self.args} says nothing"
        return self.process.stdout.readline().rstrip("\n")

    def end(self, seconds=60):
        """(exit status, the rest of what it printed)"""
        out, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, out

    def terminate(self):
        self.process.terminate()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def python_worker(broker, service, stuck=False):
    return Process("/usr/bin/python3", HERE / "mdp_peers.py", broker.endpoint, service.decode(), BEAT, "stuck" if stuck else "")
