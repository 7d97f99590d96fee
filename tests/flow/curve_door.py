"""The broker's door on TCP: who is let in, as what, and what a removed key means. Peers say single records; the broker is the
real one, and so is `phagescan keys`."""

import ctypes
import os
import pathlib
import signal
import struct

from curve_rig import FLEET, GRANT, MASTER, PULSE, REFUSED, WELCOME, WORKER, Fleet, key_of, tell, until


def refused(record, code):
    assert record[0] == REFUSED and record[1] == code, record


def strangers_stay_outside():
    with Fleet() as f:
        f.key("known", "worker")
        f.key("unknown", "worker")
        f.allow("known")
        f.await_log("broker", "keys-loaded", "keys=1")
        with f.peer() as bare, f.peer("unknown") as unknown, f.peer("known") as known:
            for peer in (bare, unknown, known):
                peer.hello(WORKER)
            known.expect(WELCOME)
            f.await_log("broker", "stranger", "unknown key", "address=127.0.0.1")
            f.await_log("broker", "stranger", "CURVE")
            bare.silence()
            unknown.silence()
        # Another broker's public key: the handshake fails, and nothing is said.
        other = f.key("other", "worker")
        with f.peer("known") as right, f.peer("known") as wrong:
            wrong.socket.disconnect(f.endpoint)
            wrong.socket.curve_serverkey = key_of(other)[0]
            wrong.socket.connect(f.endpoint)
            wrong.hello(WORKER)
            right.hello(WORKER)
            right.expect(WELCOME)
            wrong.silence()
        assert len(f.logged("broker", "session-opened")) == 2


def a_role_is_a_right():
    with Fleet() as f:
        f.key("w", "worker")
        f.key("m", "master")
        f.key("both", "worker,master")
        for name in ("w", "m", "both"):
            f.allow(name)
        f.await_log("broker", "keys-loaded", "keys=3")
        for name, role in (("w", MASTER), ("m", WORKER)):
            with f.peer(name) as peer:
                peer.hello(role)
                refused(peer.hear(), "denied")
                f.await_log("broker", "role-refused", f'name="{name}"' if '"' in f.logged("broker", "role-refused")[0] else
                            f"name={name}")
        for name, role in (("w", WORKER), ("m", MASTER), ("both", WORKER), ("both", MASTER)):
            with f.peer(name) as peer:
                peer.hello(role)
                peer.expect(WELCOME)
        # A session of one key is nobody else's, whatever they know of it.
        with f.peer("w") as peer, f.peer("both") as thief:
            peer.hello(WORKER)
            welcome = peer.expect(WELCOME)
            thief.hello(WORKER, welcome[3], welcome[4])
            stolen = thief.expect(WELCOME)
            assert stolen[3] != welcome[3] and stolen[5] is False, stolen


def a_removed_key_is_heard_no_more():
    with Fleet() as f:
        f.key("w", "worker")
        f.key("stays", "worker")
        f.allow("w")
        f.allow("stays")
        f.await_log("broker", "keys-loaded", "keys=2")
        with f.peer("w") as peer, f.peer("stays") as other:
            peer.hello(WORKER)
            session = peer.expect(WELCOME)[3]
            other.hello(WORKER)
            other.expect(WELCOME)
            f.keys("remove", "w")
            refused(peer.hear(), "denied")
            f.await_log("broker", "session-ended", "key was removed")
            f.await_log("broker", "key-gone", "name=w")
            # The connection lives on: libzmq can't close it. What it says goes nowhere, and is counted.
            for _ in range(5):
                peer.say(PULSE, session)
            peer.hello(WORKER)
            peer.silence()
            until(lambda: total_dropped(f) == 6, 30, "six dropped messages in the log")
            with f.local() as master:
                master.hello(MASTER)
                master.expect(WELCOME)
                master.say(GRANT, 1, 0)  # an epoch: it leads, and is told
                assert master.expect(FLEET)[4:6] == [6, 0]  # denied, strange_beats
            # Allowed again, a new connection is welcome; the old one stays what it was.
            f.allow("w")
            f.await_log("broker", "keys-loaded", "keys=2", after=2)
            with f.peer("w") as again:
                again.hello(WORKER)
                assert again.expect(WELCOME)[3] != session
            other.silence(0.5)
        assert len([line for line in f.logged("broker", "session-ended") if "key was removed" in line]) == 1


def total_dropped(f):
    lines = f.logged("broker", "key-dropped")
    return int(lines[-1].split(" total=")[1].split()[0]) if lines else 0


def rights_that_change_end_the_session():
    with Fleet() as f:
        f.key("w", "worker")
        f.allow("w")
        f.await_log("broker", "keys-loaded", "keys=1")
        with f.peer("w") as peer:
            peer.hello(WORKER)
            peer.expect(WELCOME)
            f.allow("w", "--role", "worker,master")
            refused(peer.hear(), "denied")
        with f.peer("w") as peer:
            peer.hello(MASTER)
            peer.expect(WELCOME)
            # The same rights once more: nobody is disturbed.
            loads = len(f.logged("broker", "keys-loaded"))
            f.allow("w", "--role", "master,worker")
            f.await_log("broker", "keys-loaded", "gone=0", after=loads)
            peer.silence(0.5)


def bad_files_are_named_and_harm_nobody():
    with Fleet() as f:
        f.key("w", "worker")
        f.allow("w")
        allowed = f.state / "keys/allowed"
        (allowed / "rubbish.key").write_bytes(b"\x00\x1b[31m")
        (allowed / "half.key").write_text('curve\n    public-key = "abc"\n')
        (allowed / "README").write_text("keys are here\n")
        (allowed / "z-twin.key").write_text((allowed / "w.key").read_text())
        (allowed / "w.key_secret").write_text((f.made / "w.key_secret").read_text())
        os.mkfifo(allowed / "pipe.key")
        names = ("rubbish.key", "half.key", "README", "z-twin.key", "w.key_secret", "pipe.key")
        for name in names:
            f.await_log("broker", "key-skipped", f"file={name}")
        assert "\x1b" not in (f.dir / "broker.log").read_text()
        listed = f.cli("keys", "list")
        assert listed.returncode == 2 and all(name in listed.stdout for name in names), listed.stdout
        f.processes["broker"].send_signal(signal.SIGHUP)
        before = len(f.logged("broker", "keys-loaded"))
        f.await_log("broker", "keys-loaded", "keys=1", "skipped=6", after=before - 1)
        with f.peer("w") as peer:
            peer.hello(WORKER)
            peer.expect(WELCOME)
        # The directory goes as a whole: those that were read still hold until there is another one.
        allowed.rename(f.state / "keys/away")
        f.processes["broker"].send_signal(signal.SIGHUP)
        f.await_log("broker", "keys-unread", "still hold")
        with f.peer("w") as peer:
            peer.hello(WORKER)
            peer.expect(WELCOME)


def unseeded_counters(n):
    """Where the first n ROUTERs of a process that seeded nothing begin to count: libzmq's generate_random()."""
    libc = ctypes.CDLL(None)
    libc.srand(1)
    draws = [libc.rand() for _ in range(2 * n)]
    return [low | high << 31 & 0xffffffff for low, high in zip(draws[::2], draws[1::2])]


def routing_ids_are_not_trusted():
    """A peer may name itself, also as libzmq names others: by a zero and a counter. libzmq asserts when its next automatic id
    is taken, and begins to count at what rand() gives, which is the same in each process that did not seed it: so the
    broker seeds it. Those that an unseeded one would give are taken here, and then some of its own are wanted."""
    with Fleet() as f:
        f.key("w", "worker")
        f.allow("w")
        f.await_log("broker", "keys-loaded", "keys=1")
        with f.peer("w", routing_id=b"worker-1") as named:
            named.hello(WORKER)
            named.silence()
        counters = [first + i & 0xffffffff for first in unseeded_counters(8) for i in range(16)]
        taken = [f.peer("w", routing_id=b"\0" + struct.pack(">I", c)) for c in counters]
        try:
            for peer in taken:
                peer.hello(WORKER)
            for peer in taken:
                peer.expect(WELCOME)
            for _ in range(32):
                with f.peer("w") as peer:
                    peer.hello(WORKER)
                    peer.expect(WELCOME)
            # Two of one name: the second is not heard, the first loses nothing.
            with f.peer("w", routing_id=b"\0" + struct.pack(">I", counters[0])) as second:
                second.hello(WORKER)
                second.silence()
            taken[0].hello(WORKER)
            taken[0].expect(WELCOME)
        finally:
            for peer in taken:
                peer.__exit__()
        assert f.processes["broker"].poll() is None


def it_does_not_start_without_its_key():
    with Fleet() as f:
        f.stop("broker")

        def why(*options):
            process = f.start("broker", wait=False)
            assert process.wait(30) != 0
            return (f.dir / "broker.log").read_text()

        secret = pathlib.Path(f"{f.broker_key}_secret")
        secret.chmod(0o640)
        assert "chmod 600" in why()
        secret.chmod(0o600)
        other = f.key("other", "worker")
        secret.write_text(pathlib.Path(f"{other}_secret").read_text().replace(
            other.read_text().split('public-key = "')[1][:40], f.broker_key.read_text().split('public-key = "')[1][:40]))
        assert "does not belong to its secret key" in why()
        secret.unlink()
        assert "the secret key" in why()
        f.broker_key.unlink()
        assert "phagescan keys broker" in why()
        f.options["broker"] += ["--insecure-tcp"]
        f.start("broker")
        f.await_log("broker", "insecure-tcp", "no CURVE")
        endpoint = f.logged("broker", "listening")[-1].split("endpoint=")[1].split()[0]
        f.endpoint = endpoint
        with f.peer() as peer:
            peer.hello(WORKER)
            peer.expect(WELCOME)


if __name__ == "__main__":
    tell(strangers_stay_outside, a_role_is_a_right, a_removed_key_is_heard_no_more, rights_that_change_end_the_session,
         bad_files_are_named_and_harm_nobody, routing_ids_are_not_trusted, it_does_not_start_without_its_key)
