"""Who takes part in bench/run dispatch: each starts its server, one worker and a client, on loopback, in a directory of
its own, and stops what it started, by its process id. run() gives what the client measured; clients end with a failure
when an answer is missing, wrong or comes twice."""

import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import time

import counts
import kit

PROGRAMS = kit.BENCH_PROGRAMS / "dispatch"
BROKER = kit.PREFIX / "bin" / "phagescan-broker"
# A million jobs may wait, for as long as it takes, with their bytes.
BROKER_OPTIONS = ["--inline-budget", "16G", "--engine-grace", "24h", "--jobs-max", "4000000"]
PATIENCE_S = 120
RABBIT_S = 120


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.02)  # a poll of a condition with a deadline


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def established(port):
    """Connections that someone listening there has."""
    n = 0
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            n += fields[1].endswith(f":{port:04X}") and fields[3] == "01"
    return n


class Crew:
    """Processes that are stopped together, the last one first."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()

    def start(self, *argv, ready=True, env=None, pass_fds=(), cwd=None):
        """ready: it says so by a line on standard output."""
        name = pathlib.Path(str(argv[0])).name
        self.log = self.scratch / f"{name}-{len(self.processes)}.log"
        with open(self.log, "wb") as log:
            process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE if ready else subprocess.DEVNULL,
                                       stdout=subprocess.PIPE if ready else log, stderr=log, env=env, pass_fds=pass_fds, cwd=cwd)
        self.processes.append(process)
        if ready:
            self.wait_ready(process)
        return process

    def wait_ready(self, process):
        there, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
        line = process.stdout.readline() if there else b""
        if line.strip() != b"ready":
            raise RuntimeError(f"{process.args[:2]} is not ready: {line!r} {self.log.read_text(errors='replace')[-2000:]}")


def resident(pid):
    """Resident memory, KiB."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS:"))


def numbers(case, *keys):
    """Options of a client or a worker."""
    return [word for key in keys for word in (f"--{key}", case[key])]


def finish(crew, argv, env=None):
    """Runs a client to its end; its last line is what it measured."""
    done = subprocess.run(argv, text=True, capture_output=True, timeout=600, env=env)
    if done.returncode != 0:
        logs = "".join(f"\n--- {p.name}: {p.read_text(errors='replace')[-600:]}" for p in sorted(crew.scratch.glob("*.log")))
        raise RuntimeError(f"{argv[0]}: {done.stderr[-1000:]}{logs}")
    return json.loads(done.stdout.splitlines()[-1])


def client_of(crew, argv, watched, case, env=None):
    """A client's run, its own word on what it and those watched cost included. case["counts"]: beside that what perf
    counts, which costs time itself."""
    for name, process in watched.items():
        argv = [*argv, "--watch", f"{name}={process.pid}"]
    argv = [str(a) for a in argv]
    if not case.get("counts"):
        return finish(crew, argv, env)
    with counts.Counted(crew.scratch, {name: process.pid for name, process in watched.items()}) as counted:
        result = finish(crew, counted.wrap(argv), env)
    return {**result, "counts": counted.per_jobs(case["jobs"])}


class Ours:
    """phagescan-broker, with all that a job has: an owner, a band, a deadline, a lease, a commit."""

    program = PROGRAMS / "dispatch_ours"

    def __init__(self, transport="tcp", curve=False, **settings):
        self.transport, self.curve, self.settings = transport, curve, settings

    def start_broker(self, crew):
        scratch = crew.scratch
        argv = [BROKER, "--config", "/dev/null", "--listen", scratch / "broker.sock", *BROKER_OPTIONS]
        self.endpoint, self.keys = f"ipc://{scratch}/broker.sock", {"client": [], "worker": []}
        if self.transport == "tcp":
            port = free_port()
            argv += ["--listen-tcp", f"127.0.0.1:{port}"]
            self.endpoint = f"tcp://127.0.0.1:{port}"
        if self.curve:
            argv += self.make_keys(scratch)
        elif self.transport == "tcp":
            argv += ["--insecure-tcp"]
        read_fd, write_fd = os.pipe()
        with os.fdopen(read_fd, "rb") as ready:
            broker = crew.start(*argv, "--ready-fd", write_fd, ready=False, pass_fds=(write_fd,))
            os.close(write_fd)
            if select.select([ready], [], [], PATIENCE_S)[0] and ready.readline() == b"ready\n":
                return broker
        raise RuntimeError(f"the broker does not start: {crew.log.read_text(errors='replace')[-2000:]}")

    def make_keys(self, scratch):
        """A key each for broker, master and workers; gives the broker's options."""
        subprocess.run([str(self.program), "keys", "--key", str(scratch)], check=True, capture_output=True)
        self.keys = {role: ["--key", scratch / f"{name}.key", "--server-key", scratch / "broker.key"]
                     for role, name in (("client", "master"), ("worker", "worker"))}
        return ["--key", scratch / "broker.key", "--allowed", scratch / "allowed"]

    def start_worker(self, crew, case):
        return crew.start(self.program, "worker", "--endpoint", self.endpoint, *self.keys["worker"],
                          *numbers(case, "size", "sessions", "threads", "credit"))

    def run(self, scratch, case):
        case = {**case, **self.settings}
        with Crew(scratch) as crew:
            broker = self.start_broker(crew)
            argv = [self.program, "client", "--endpoint", self.endpoint, *self.keys["client"],
                    *numbers(case, "jobs", "warm", "window", "size", "engines", "queued", "sessions")]
            if case["queued"]:
                return self.run_queued(crew, broker, argv, case)
            worker = self.start_worker(crew, case)
            return client_of(crew, argv, {"broker": broker, "worker": worker}, case)

    def run_queued(self, crew, broker, argv, case):
        """Workers come when the jobs wait already."""
        client = crew.start(*argv, "--watch", f"broker={broker.pid}")
        self.start_worker(crew, case)
        out = client.stdout.read()
        if client.wait(PATIENCE_S) != 0:
            raise RuntimeError(f"the client failed: {out!r}")
        return json.loads(out.splitlines()[-1])

    def fill(self, scratch, case):
        """Bytes of memory that a queued job takes, with its payload."""
        with Crew(scratch) as crew:
            broker = self.start_broker(crew)
            before = resident(broker.pid)
            crew.start(self.program, "fill", "--endpoint", self.endpoint, *self.keys["client"], "--jobs", 0,
                       "--queued", case["jobs"], *numbers(case, "size"))
            return (resident(broker.pid) - before) * 1024 / case["jobs"]


class Proxy:
    """zmq_proxy: a ROUTER and a DEALER, and nothing else."""

    program = PROGRAMS / "dispatch_zmq"

    def __init__(self, transport="tcp", batch=1):
        self.transport, self.batch = transport, batch

    def start_proxy(self, crew):
        if self.transport == "tcp":
            front, back = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
        else:
            front, back = (f"ipc://{crew.scratch}/{name}.sock" for name in ("front", "back"))
        return crew.start(self.program, "proxy", "--endpoint", front, "--back", back), front, back

    def run(self, scratch, case):
        with Crew(scratch) as crew:
            proxy, front, back = self.start_proxy(crew)
            worker = crew.start(self.program, "worker", "--endpoint", back, *numbers(case, "size", "sessions"))
            if self.transport == "tcp":
                wait_for("workers", lambda: established(int(back.rsplit(":", 1)[1])) >= case["sessions"])
            return client_of(crew, [self.program, "client", "--endpoint", front, "--batch", self.batch,
                                    *numbers(case, "jobs", "warm", "window", "size")],
                             {"broker": proxy, "worker": worker}, case)

    def fill(self, scratch, case):
        with Crew(scratch) as crew:
            proxy, front, _ = self.start_proxy(crew)
            before = resident(proxy.pid)
            crew.start(self.program, "fill", "--endpoint", front, "--jobs", 0, "--queued", case["jobs"], *numbers(case, "size"))
            # It says nothing: all is there once its memory holds the payloads and has stopped to grow.
            seen = [before]

            def settled():
                seen.append(resident(proxy.pid))
                time.sleep(0.3)  # between two looks
                return seen[-1] == seen[-2] and (seen[-1] - before) * 1024 >= case["jobs"] * case["size"]

            wait_for("zmq_proxy to take all jobs", settled)
            return (seen[-1] - before) * 1024 / case["jobs"]


class Nats:
    """nats-server, plain NATS (no JetStream: nothing is persistent); a queue group; client and worker gather writes."""

    program = PROGRAMS / "dispatch_nats"
    server = "/usr/sbin/nats-server"

    def run(self, scratch, case):
        with Crew(scratch) as crew:
            port = free_port()
            server = crew.start(self.server, "-a", "127.0.0.1", "-p", port, ready=False)
            wait_for("nats-server", lambda: answers(port))
            worker = crew.start(self.program, "worker", "--port", port, *numbers(case, "size"))
            return client_of(crew, [self.program, "client", "--port", port, *numbers(case, "jobs", "warm", "window", "size")],
                             {"broker": server, "worker": worker}, case)


class Redis:
    """redis-server, no persistence; LPUSH and BRPOP, pipelined as the window allows."""

    program = PROGRAMS / "dispatch_redis"
    server = "/usr/bin/redis-server"

    def run(self, scratch, case):
        with Crew(scratch) as crew:
            port = free_port()
            server = crew.start(self.server, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no",
                                "--dir", scratch, ready=False)
            wait_for("redis-server", lambda: answers(port))
            worker = crew.start(self.program, "worker", "--port", port, *numbers(case, "size", "window"))
            return client_of(crew, [self.program, "client", "--port", port, *numbers(case, "jobs", "warm", "window", "size")],
                             {"broker": server, "worker": worker}, case)


class RabbitServer:
    """A private RabbitMQ, as any user, for the time of some measurements."""

    def __init__(self, scratch):
        self.scratch = pathlib.Path(scratch) / "rabbitmq"
        self.name = f"bench{os.getpid()}"
        found = sorted(pathlib.Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
        self.program = found[-1] if found else None

    def __enter__(self):
        base = self.scratch
        base.mkdir()
        cookie = base / ".erlang.cookie"
        cookie.write_text("B" * 20)
        cookie.chmod(0o400)
        self.port = free_port()
        (base / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{self.port}\n")
        (base / "plugins").write_text("[].\n")
        env = dict(os.environ, HOME=str(base), RABBITMQ_NODENAME=f"{self.name}@localhost", RABBITMQ_BASE=str(base),
                   RABBITMQ_MNESIA_BASE=str(base / "mnesia"), RABBITMQ_LOG_BASE=str(base / "log"),
                   RABBITMQ_CONFIG_FILE=str(base / "rabbitmq.conf"), RABBITMQ_ENABLED_PLUGINS_FILE=str(base / "plugins"),
                   RABBITMQ_DIST_PORT=str(free_port()), ERL_EPMD_PORT=str(free_port()), ERL_EPMD_ADDRESS="127.0.0.1",
                   RABBITMQ_PID_FILE=str(base / "pid"))
        self.crew = Crew(base)
        self.log = base / "rabbitmq-server-0.log"
        try:
            self.crew.start(self.program, ready=False, env=env)
            wait_for("RabbitMQ", self.is_up, RABBIT_S)
        except Exception:
            self.__exit__()
            raise
        return self

    def is_up(self):
        if self.crew.processes[0].poll() is not None:
            raise RuntimeError(f"RabbitMQ ended: {self.log.read_text(errors='replace')[-1500:]}")
        logs = [self.log, *(self.scratch / "log").glob("*.log")]
        return any("Server startup complete" in p.read_text(errors="replace") for p in logs if p.exists()) and answers(self.port)

    def __exit__(self, *_):
        """Its processes: the script's family, and epmd, which our node started for itself on a port of its own."""
        pids = kit.family(self.crew.processes[0].pid)
        self.crew.__exit__()
        for pid in pids + self.own_epmd():
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass

    def own_epmd(self):
        """epmd made itself a daemon: it is the one whose environment names our directory."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "comm").read_text().strip() == "epmd" and f"HOME={self.scratch}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def beam(self):
        """The process that does the work."""
        for pid in kit.family(self.crew.processes[0].pid):
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "beam.smp":
                return pid
        raise RuntimeError("RabbitMQ has no beam.smp")


class Process:
    """One that somebody else keeps."""

    def __init__(self, pid):
        self.pid = pid


class Rabbit:
    """RPC over RabbitMQ with librabbitmq; mode: persistent, confirm, both or neither."""

    program = PROGRAMS / "dispatch_rabbit"

    def __init__(self, server, mode):
        self.server, self.mode = server, mode

    def run(self, scratch, case):
        with Crew(scratch) as crew:
            common = ["--port", self.server.port, "--mode", self.mode]
            worker = crew.start(self.program, "worker", *common, *numbers(case, "size", "window"))
            return client_of(crew, [self.program, "client", *common, *numbers(case, "jobs", "warm", "window", "size")],
                             {"broker": Process(self.server.beam()), "worker": worker}, case)


class Celery:
    """Celery with RabbitMQ below; one worker process (solo). mode: rpc, or ignore_result: then the task itself tells a
    socket of the client's, since nobody else would know that it ran."""

    app = pathlib.Path(__file__).resolve().parent / "celery_noop.py"

    def __init__(self, server, mode):
        self.server, self.mode = server, mode

    def run(self, scratch, case):
        env = dict(os.environ, BENCH_CELERY_BROKER=f"amqp://guest:guest@127.0.0.1:{self.server.port}//",
                   BENCH_CELERY_SOCKET=str(scratch / "celery.sock"), PYTHONPATH=str(self.app.parent), PYTHONDONTWRITEBYTECODE="1")
        with Crew(scratch) as crew:
            worker = crew.start("/usr/bin/python3", "-m", "celery", "-A", self.app.stem, "worker", "--pool", "solo",
                                "--loglevel", "warning", "--prefetch-multiplier", case["window"], "--without-gossip",
                                "--without-mingle", "-n", "bench@localhost", "-Q", f"celery-{self.mode}", ready=False, env=env,
                                cwd=scratch)
            return client_of(crew, ["/usr/bin/python3", self.app, self.mode, *(case[k] for k in ("jobs", "warm", "window", "size"))],
                             {"broker": Process(self.server.beam()), "worker": worker}, case, env)


def missing(contestant):
    """Why a peer is left out; empty when it is there."""
    if contestant == "nats":
        return "" if shutil.which(Nats.server) and Nats.program.exists() else "nats-server is not installed"
    if contestant == "redis":
        return "" if shutil.which(Redis.server) and Redis.program.exists() else "redis-server is not installed"
    if contestant in ("rabbitmq", "celery") and not RabbitServer("/").program:
        return "rabbitmq-server is not installed"
    if contestant == "rabbitmq":
        return "" if Rabbit.program.exists() else "librabbitmq-dev is not installed"
    if contestant == "celery":
        done = subprocess.run(["/usr/bin/python3", "-c", "import celery"], capture_output=True)
        return "" if done.returncode == 0 else "python3-celery is not installed"
    return ""


def versions():
    words = {"libzmq": subprocess.run(["pkg-config", "--modversion", "libzmq"], text=True, capture_output=True).stdout.strip()}
    for package in ("nats-server", "redis-server", "rabbitmq-server", "librabbitmq4", "python3-celery"):
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], text=True, capture_output=True)
        words[package] = done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else "not installed"
    return words
