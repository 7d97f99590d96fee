"""Celery's part of bench/run dispatch: the task, and (run as a program: MODE JOBS WARM WINDOW SIZE [--watch NAME=PID]...)
its client."""

import collections
import json
import os
import pathlib
import re
import socket
import sys
import time
import zlib

import celery

app = celery.Celery("celery_noop", broker=os.environ["BENCH_CELERY_BROKER"], backend="rpc://")
app.conf.update(task_serializer="json", accept_content=["json"], result_serializer="json", worker_hijack_root_logger=False,
                broker_connection_retry_on_startup=True)
SOCKET = os.environ["BENCH_CELERY_SOCKET"]
SILENCE_S = 60


def answer(job, payload):
    return [job, zlib.crc32(payload.encode())]


@app.task
def rpc(job, payload):
    return answer(job, payload)


teller = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


@app.task(ignore_result=True)
def ignore_result(job, payload):
    teller.sendto(json.dumps(answer(job, payload)).encode(), SOCKET)


def usage(pid):
    """All threads that live: processor seconds, waits, forced switches: what bench/dispatch/usage.c reads."""
    total = [0.0, 0, 0]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total[0] += int((task / "schedstat").read_text().split()[0]) / 1e9
            switches = re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())
        except OSError:
            continue  # a thread that ended
        total[1:] = [n + int(more) for n, more in zip(total[1:], switches)]
    return total


class Client:
    def __init__(self, mode, jobs, warm, window, size, watch):
        self.task = rpc if mode == "rpc" else ignore_result
        self.jobs, self.warm, self.window, self.size = jobs, warm, window, size
        self.queue = f"celery-{mode}"
        self.sent_n, self.took, self.out = 0, [], {}
        self.watch = {"client": os.getpid(), **watch}
        self.start()

    def start(self):
        self.begin, self.before = time.monotonic(), {name: usage(pid) for name, pid in self.watch.items()}

    def cost(self, jobs):
        scale, words = 100_000 / jobs, ("cpu_s", "waits", "forced")
        return {name: {word: (after - before) * scale for word, after, before in zip(words, usage(pid), self.before[name])}
                for name, pid in self.watch.items()}

    def send(self):
        job = self.sent_n
        payload = f"{job:08d}".ljust(self.size, "x")
        self.out[job] = (zlib.crc32(payload.encode()), time.monotonic())
        self.sent_n += 1
        return self.task.apply_async((job, payload), queue=self.queue)

    def room(self):
        return self.sent_n < self.jobs and len(self.out) < self.window

    def take(self, said):
        job, check = said
        right, at = self.out.pop(job)  # KeyError: not out, or a second time
        if check != right:
            sys.exit(f"a wrong answer to job {job}")
        self.took.append(time.monotonic() - at)
        if len(self.took) == self.warm:
            self.start()

    def run_rpc(self):
        waiting = collections.deque()
        while len(self.took) < self.jobs:
            while self.room():
                waiting.append(self.send())
            self.take(waiting.popleft().get(timeout=SILENCE_S, interval=0.0005))

    def run_told(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(SOCKET)
            told.settimeout(SILENCE_S)
            while len(self.took) < self.jobs:
                while self.room():
                    self.send()
                self.take(json.loads(told.recv(1024)))

    def result(self):
        seconds, took = time.monotonic() - self.begin, sorted(self.took[self.warm:])
        return {"jobs": len(took), "seconds": seconds, "rate": len(took) / seconds, "p50_us": took[len(took) // 2] * 1e6,
                "p99_us": took[len(took) * 99 // 100] * 1e6, "cost": self.cost(len(took))}


def main():
    watch = {name: int(pid) for name, pid in (word.split("=") for word in sys.argv[7::2])}
    client = Client(sys.argv[1], *map(int, sys.argv[2:6]), watch)
    if client.task is rpc:
        client.run_rpc()
    else:
        client.run_told()
    print(json.dumps(client.result()))


if __name__ == "__main__":
    main()
