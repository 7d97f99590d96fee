"""A second master waits, takes over when the first stands still, and is the only one that writes when it is continued."""

from bad_kit import Ground, all_done, batch, count, metric, part, problem, stopped, tell
from stack import outcomes, until

ENGINES = ["crashy", "hashes", "type"]


def at(stack, sock, method, path, body=None, **kwargs):
    return stack.api(method, path, body, sock=sock, **kwargs)


def leads(stack, sock):
    answer = stack.try_api("GET", "/status", sock=sock, timeout=10)
    return answer and answer.status == 200 and answer.json["leader"]


def files(word, n=16):
    body = b"".join(part(i, f"CRASHY slow 900\n{word} {i}\n".encode(), f"{word}-{i}", engines=ENGINES) for i in range(n))
    return body, n


def a_standby_reads_and_does_not_write(stack):
    stack.start("master2")
    stack.oneshot(b"CRASHY malicious Shared\n", "shared", engines="crashy")
    assert leads(stack, "api.sock") and not leads(stack, "api2.sock")
    assert stack.api("GET", "/submissions", sock="api2.sock").json["items"][0]["name"] == "shared"
    before = count(stack, "submission")
    for answer in (at(stack, "api2.sock", "POST", "/submissions?name=x", b"to the standby"),
                   at(stack, "api2.sock", "POST", "/batch", part(1, b"to the standby")),
                   at(stack, "api2.sock", "POST", "/uploads", {"name": "x", "size": 1})):
        told = problem(answer, 503, "lead", code="standby")
        assert answer.headers["retry-after"] and "nothing was taken" in told["detail"], told
    assert count(stack, "submission") == before


def it_takes_over_and_the_first_steps_back(stack):
    body, n = files("first")
    lines = batch(stack, body, "over-1").lines
    assert len(lines) == n and not any("problem" in line for line in lines), lines
    until(lambda: metric(stack, "phagescan_worker_running") > 0, 30, "a running job")
    epoch = stack.api("GET", "/status").json["epoch"]

    with stopped(stack.processes["master"].pid):
        until(lambda: leads(stack, "api2.sock"), 60, "the standby to lead")
        assert stack.api("GET", "/status", sock="api2.sock").json["epoch"] > epoch
        # The same batch sent again to the one that leads now is the same batch.
        again = at(stack, "api2.sock", "POST", "/batch", body, headers={"Idempotency-Key": "over-1"})
        assert again.status == 200 and again.lines == lines, (again.status, again.body)
        body2, n2 = files("second")
        second = at(stack, "api2.sock", "POST", "/batch", body2).lines
        assert len(second) == n2 and not any("problem" in line for line in second), second
        until(lambda: count(stack, "job", "final is not null") > 3, 60, "results under the new master")

    until(lambda: not leads(stack, "api.sock"), 30, "the first to step back")
    answer = until(lambda: refused(stack), 30, "the first to refuse")
    problem(answer, 503, "lead")
    assert "event=superseded" in (stack.dir / "master.log").read_text(errors="replace"), "it does not say why"
    all_done(stack, 120)
    for line in lines + second:
        report = stack.api("GET", f"/scans/{line['scan']}", sock="api2.sock").json
        assert outcomes(report) == {"crashy": "undetected", "hashes": "described", "type": "described"}, report
    finished = stack.postgres.sql("select count(*), count(distinct finished_seq) from scan where verdict is not null")[0]
    assert finished[0] == finished[1], finished
    assert count(stack, "submission", "name like 'first-%'") == n, "a batch is there twice"
    assert leads(stack, "api2.sock") and not leads(stack, "api.sock")


def refused(stack):
    answer = stack.try_api("POST", "/submissions?name=x", body=b"to the first")
    return answer if answer and answer.status == 503 else None


def the_second_dies_and_the_first_leads_again(stack):
    stack.kill("master2")
    until(lambda: leads(stack, "api.sock"), 60, "the first to lead again")
    report = stack.oneshot(b"CRASHY malicious Again\n", "again", engines="crashy")
    assert report["scan"]["verdict"] == "malicious"
    all_done(stack)


ground = Ground(engines=ENGINES, options={"master": ["--stale", "3s"], "master2": ["--stale", "3s"]})
tell(*ground.stories(a_standby_reads_and_does_not_write, it_takes_over_and_the_first_steps_back,
                     the_second_dies_and_the_first_leads_again))
