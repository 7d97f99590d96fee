#!/usr/bin/python3
"""phagescan engine: a new engine works as it is written, and one that does not work is told so, with the line."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

build = pathlib.Path(os.environ["PHAGESCAN_TEST_BUILD"])


def run(*words, status=0, cwd=None):
    """Runs the command line; its standard output and error, after a look at its exit status."""
    environment = {**os.environ, "PHAGESCAN_ENGINES": str(build / "engines")}
    done = subprocess.run([build / "cli" / "phagescan", "engine", *words], cwd=cwd, env=environment, timeout=120,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def a_new_engine_that_judges_works(scratch):
    run("new", "first", cwd=scratch)
    (scratch / "mail.txt").write_text("nothing to see\n")
    out, _ = run("test", "first", "mail.txt", cwd=scratch)
    assert "a harmless text: undetected" in out, out
    assert "the EICAR test file: malicious Eicar-Test" in out, out
    assert "label = Eicar-Test" in out, out
    assert "mail.txt: undetected" in out, out
    assert "This engine works." in out, out
    run("new", "first", status=2, cwd=scratch)  # it is not overwritten


def a_new_engine_that_describes_works(scratch):
    run("new", "--kind=metadata", "--in", str(scratch), "second")
    out, _ = run("test", str(scratch / "second"))
    assert "a harmless text: described" in out and "trait bytes = 59" in out and "This engine works." in out, out


def lines_are_json(scratch):
    out, _ = run("test", "--json", str(scratch / "first"))
    results = [json.loads(line) for line in out.splitlines()]
    assert [result["outcome"] for result in results] == ["undetected", "malicious"], results
    assert results[1]["traits"]["manifest-matches"][0]["captures"] == {"label": "Eicar-Test"}, results


def an_engine_that_misses_eicar_is_not_fit(scratch):
    manifest = scratch / "first" / "first.engine"
    text = manifest.read_text()
    manifest.write_text(text.replace("self-test = eicar", "self-test = none"))
    (scratch / "first" / "scan.sh").write_text("echo OK\n")
    manifest.write_text(manifest.read_text().replace("version", "#version"))
    out, _ = run("test", str(scratch / "first"), status=2)
    assert "wrong: the EICAR test file must be found" in out and "not fit" in out, out
    manifest.write_text(text)


def an_engine_that_cant_be_loaded_says_why(scratch):
    _, err = run("test", str(scratch / "first"), status=2)  # its self-test is back
    assert "the engine can't be offered" in err, err
    (scratch / "first" / "first.engine").write_text("[engine]\nkind = evilness\ncolour = red\n")
    _, err = run("test", str(scratch / "first"), status=2)
    assert "first.engine: line 3: there is no key \"colour\"" in err, err


def an_installed_engine_is_found_by_its_name(scratch):
    out, _ = run("test", "crashy", status=2)  # it knows no EICAR
    assert "a harmless text: undetected" in out and "the EICAR test file must be found" in out, out
    out, _ = run("test", "hashes")
    assert "a harmless text: described" in out and "trait sha256" in out, out
    _, err = run("test", "nobody", status=2)
    assert "there is no engine nobody" in err, err


def bad_words_are_refused(scratch):
    for words in (("new", "Not/Good"), ("new",), ("new", "--kind=other", "x"), ("test",), ("what",), ()):
        run(*words, status=2, cwd=scratch)
    assert not (scratch / "x").exists()


def main():
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="ps-engine-"))
    scratch.chmod(0o755)  # as root engines run under another account
    try:
        for story in (a_new_engine_that_judges_works, a_new_engine_that_describes_works, lines_are_json,
                      an_engine_that_misses_eicar_is_not_fit, an_engine_that_cant_be_loaded_says_why,
                      an_installed_engine_is_found_by_its_name, bad_words_are_refused):
            story(scratch)
            print("ok", story.__name__, flush=True)
    finally:
        shutil.rmtree(scratch)


main()
