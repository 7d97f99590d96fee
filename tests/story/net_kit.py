"""What the stories of cut networks share: network namespaces, and cables between them that can be pulled. Needs root and
namespaces: leave_the_machines_network says why not."""

import contextlib
import ctypes
import os
import pathlib
import subprocess
import sys

from stack import until

SKIPPED = 77  # meson's word for it
CLONE_NEWNET = 0x40000000
PORT = 8481  # a broker's namespace has no other


class Cable:
    """From us to a namespace, or between two. Pulled, it takes what is sent and gives nothing."""

    def __init__(self, number, here, there):
        self.names = [f"ps{number}a", f"ps{number}b"]
        self.address = f"10.77.{number}.2"  # of the far end
        self.here = here
        self.ip(None, "link", "add", self.names[0], "type", "veth", "peer", "name", self.names[1])
        for name, place, host in zip(self.names, (here, there), (1, 2)):
            if place:
                self.ip(None, "link", "set", name, "netns", str(place.pid))
            self.ip(place, "addr", "add", f"10.77.{number}.{host}/24", "dev", name)
            self.ip(place, "link", "set", name, "up")

    @staticmethod
    def ip(place, *args):
        subprocess.run([*Cable.within(place), "ip", *args], check=True, capture_output=True, text=True)

    @staticmethod
    def within(place):
        return ["nsenter", f"--net=/proc/{place.pid}/ns/net"] if place else []

    @contextlib.contextmanager
    def cut(self):
        self.ip(self.here, "link", "set", self.names[0], "down")
        try:
            yield
        finally:
            self.ip(self.here, "link", "set", self.names[0], "up")


def place():
    """A network namespace: it lives as long as the process that holds it."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
    ours = os.readlink("/proc/self/ns/net")
    until(lambda: pathlib.Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n" and
          os.readlink(f"/proc/{holder.pid}/ns/net") != ours, 10, "a namespace")
    return holder


def leave_the_machines_network():
    """So that no cable of ours is ever seen outside. None, or why it can't be."""
    if os.getuid() != 0:
        return "only root can make network namespaces"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    try:
        Cable.ip(None, "link", "set", "lo", "up")  # the master's port for browsers
        Cable.ip(None, "link", "add", "pstry", "type", "veth", "peer", "name", "pstry2")
        Cable.ip(None, "link", "del", "pstry")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no veth: {getattr(error, 'stderr', None) or error}".strip()
    return None


class Places:
    """Namespaces that end together; what is ours is the one that we are in."""

    def __init__(self):
        self.holders = []

    def hold(self):
        self.holders.append(place())
        return self.holders[-1]

    def end(self):
        for holder in self.holders:
            holder.kill()
            holder.wait()


def or_skip():
    """Leaves the machine's network, or the program."""
    why = leave_the_machines_network()
    if why:
        print(f"skipped: {why}", flush=True)
        sys.exit(SKIPPED)
