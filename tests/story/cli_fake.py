#!/usr/bin/python3
"""A stand-in for phagescan-broker, -master and -worker in the story of the supervisor (cli_up.py). It says that it is
ready, ends on SIGTERM, and answers what `phagescan up` and `status` ask a master; a file FAKES/NAME with words in it
makes it misbehave: never-ready, stubborn, failing, chatty."""

import http.server
import json
import os
import pathlib
import signal
import socketserver
import sys
import threading

NAME = pathlib.Path(sys.argv[0]).name.removeprefix("phagescan-")
RULES = pathlib.Path(os.environ["FAKES"]) / NAME
STATE = pathlib.Path(os.environ["PHAGESCAN_STATE"])
DONE = threading.Event()


def rules():
    return RULES.read_text().split() if RULES.exists() else []


class Api(http.server.BaseHTTPRequestHandler):
    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, {"leader": True, "database": {"ok": True}, "broker": {"ok": True}, "queue": {"scans": 0},
                          "signatures": {"origin": "test\x1b[31m"}})

    def do_POST(self):
        self.answer(201, {"token": "t", "url": "http://127.0.0.1:8480/enter?token=t"})

    def log_message(self, *_):
        pass

    def address_string(self):
        return "local"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def serve():
    path = STATE / "run" / "api.sock"
    path.unlink(missing_ok=True)
    server = Server(str(path), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    ready_fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
    if "stubborn" in rules():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: DONE.set())
    print(f"{NAME} begins: uid={os.getuid()} arguments={sys.argv[1:]} descriptors={sorted(os.listdir('/proc/self/fd'))}",
          flush=True)
    if "failing" in rules():
        print("there is a stone in my shoe", file=sys.stderr)
        sys.exit(7)
    if NAME == "master":
        serve()
    if "never-ready" not in rules():
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)
    DONE.wait()
    print(f"{NAME} ends", flush=True)


main()
