#!/usr/bin/env python3
"""Files that engines derive: from the jail to the store, the report and the command line; kept once; while workers, masters
and brokers die; at the limits."""

import hashlib

from bad_kit import Ground, count, tell
from stack import until

PIECE_BYTES = 12 * 1024 * 1024


def result_of(report, engine="crashy"):
    return next(r for r in report["results"] if r["engine"] == engine)


def send(stack, command):
    answer = stack.api("POST", "/submissions?name=file&engines=crashy", f"CRASHY {command}\n".encode())
    assert answer.status == 201, (answer.status, answer.body)
    return answer.json


def scan(stack, command, seconds=90):
    line = send(stack, command)
    return stack.report(line["sha256"], line["scan"], seconds)


def fetch(stack, sha256):
    return stack.api("GET", f"/artifacts/{sha256}")


def check_bytes(stack, result):
    for file in result["files"]:
        answer = fetch(stack, file["sha256"])
        assert answer.status == 200, (answer.status, answer.body[:200])
        assert len(answer.body) == file["size"] and hashlib.sha256(answer.body).hexdigest() == file["sha256"], file


def derived(stack):
    return sorted(p for p in (stack.state / "store" / "derived").rglob("*") if p.is_file())


def files_come_with_the_report(stack):
    result = result_of(scan(stack, "files 3 200000"))
    assert result["outcome"] == "undetected", result
    assert [f["name"] for f in result["files"]] == ["part-0.bin", "part-1.bin", "part-2.bin"], result["files"]
    assert all(f["mime"] == "application/x-part" and f["size"] == 200000 and not f["picture"] for f in result["files"])
    check_bytes(stack, result)
    headers = {k.lower(): v for k, v in fetch(stack, result["files"][0]["sha256"]).headers.items()}
    assert headers["content-type"] == "application/octet-stream", headers
    assert headers["content-disposition"].startswith('attachment; filename="part-0.bin"'), headers
    assert headers["x-content-type-options"] == "nosniff" and "sandbox" in headers["content-security-policy"], headers
    assert fetch(stack, "ab" * 32).status == 404
    assert fetch(stack, "nonsense").status == 400


def pictures_are_pictures_and_pages_are_not(stack):
    result = result_of(scan(stack, "picture"))
    gif, page = result["files"]
    assert gif["picture"] and gif["mime"] == "image/gif", gif
    types = [{k.lower(): v for k, v in fetch(stack, f["sha256"]).headers.items()} for f in (gif, page)]
    assert types[0]["content-type"] == "image/gif", types[0]
    assert types[1]["content-type"] == "application/octet-stream", types[1]
    assert '"page__x_.html"' in types[1]["content-disposition"], types[1]


def the_command_line_lists_and_saves(stack):
    report = scan(stack, "files 1 5000 77")
    file = result_of(report)["files"][0]
    told = stack.cli("report", report["sha256"], timeout=60)
    assert file["sha256"] in told.stdout and "part-0.bin" in told.stdout, told.stdout
    to = stack.dir / "saved"
    done = stack.cli("artifact", "-o", to, file["sha256"], timeout=60)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(to.read_bytes()).hexdigest() == file["sha256"] and to.stat().st_mode & 0o777 == 0o600
    again = stack.cli("artifact", "-o", to, file["sha256"], timeout=60)
    assert again.returncode == 2, "a file that is there was written over"


def the_same_file_is_kept_once(stack):
    first = result_of(scan(stack, "files 2 1000 5\nfirst"))
    rows = count(stack, "artifact_file")
    second = result_of(scan(stack, "files 2 1000 5\nsecond"))
    assert [f["sha256"] for f in first["files"]] == [f["sha256"] for f in second["files"]]
    assert count(stack, "artifact_file") == rows
    assert count(stack, "artifact_file", "not named") == 0


def what_is_over_a_limit_is_said(stack):
    result = result_of(scan(stack, f"files 2 {17 * 1024 * 1024}"))
    assert result["outcome"] == "incomplete" and not result["files"], result
    assert "16777216" in result["reason"], result
    result = result_of(scan(stack, "files 300 10 9"))
    assert result["outcome"] == "incomplete" and len(result["files"]) == 256, (result["outcome"], len(result["files"]))
    check_bytes(stack, {"files": result["files"][:3]})


def arriving(stack):
    return any(p.parent.parent.name == "tmp" for p in derived(stack))


def begin_large(stack, seed, n=4):
    line = send(stack, f"files {n} {PIECE_BYTES} {seed}")
    until(lambda: arriving(stack), what="pieces on their way")
    return line


def end_large(stack, line, n=4):
    result = result_of(stack.report(line["sha256"], line["scan"], 120))
    assert result["outcome"] == "undetected" and len(result["files"]) == n, result
    check_bytes(stack, result)


def a_worker_is_killed_while_pieces_move(stack):
    line = begin_large(stack, 1)
    stack.kill("worker")
    stack.start("worker")
    end_large(stack, line)


def a_master_is_restarted_while_pieces_move(stack):
    line = begin_large(stack, 2)
    stack.kill("master")
    stack.start("master")
    end_large(stack, line)


def a_broker_is_restarted_while_pieces_move(stack):
    line = begin_large(stack, 3)
    stack.kill("broker")
    stack.start("broker")
    end_large(stack, line)


def what_no_result_names_is_swept(stack):
    stack.postgres.sql("insert into artifact_file (sha256, size, kept_at) values (decode(repeat('ab', 32), 'hex'), 3,"
                       " now() - interval '2 days')")
    path = stack.state / "store" / "derived" / "ab" / ("ab" * 32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"old")
    before = count(stack, "artifact_file", "named")
    stack.stop("master")
    stack.start("master")
    until(lambda: count(stack, "artifact_file", "not named") == 0 and not path.exists(), what="the sweep")
    assert count(stack, "artifact_file", "named") == before


tell(*Ground(engines=["crashy"]).stories(
    files_come_with_the_report,
    pictures_are_pictures_and_pages_are_not,
    the_command_line_lists_and_saves,
    the_same_file_is_kept_once,
    what_is_over_a_limit_is_said,
    a_worker_is_killed_while_pieces_move,
    a_master_is_restarted_while_pieces_move,
    a_broker_is_restarted_while_pieces_move,
    what_no_result_names_is_swept,
))
