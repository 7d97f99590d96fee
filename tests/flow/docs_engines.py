"""docs/engines.md, followed to the letter: an engine is written in each of the ways that the document teaches, from its own
snippets alone, and does what the document says.

A line <!-- file: PATH --> just before a fenced block says where that block is to be written, below a scratch directory. A
line <!-- run --> before one says that it is run there by a shell: with the build tree's programs on PATH, $PHAGESCAN_ENGINES
naming its engine directory and $PHAGESCAN_SOURCE the source. Lines "# => TEXT" after a command are what its output must
contain, in that order; a command without any must succeed. Each section of the document has a scratch directory of its own."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["PHAGESCAN_TEST_BUILD"]).resolve()
DOCUMENT = SOURCE / "docs" / "engines.md"
# Sections that can't do without snippets, and what in the source tree makes them due.
TAUGHT = {"A C plug-in": "engines/engine.h", "A manifest": "engines/manifest", "A Python class": "engines/python"}
EXPECT = "# => "
MARK = "\x1e"
SECONDS = 120  # a block that runs longer hangs
CHATTY = 2     # the largest status of a command that ran: 1 is found, 2 an error that the text may well be about


class Wrong(Exception):
    pass


def sections(text):
    """title -> its lines, headings inside fenced blocks left alone."""
    found, title, fenced = {"": []}, "", False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            title = line[3:].strip()
            if title in found:
                raise Wrong(f"two sections are called {title}")
            found[title] = []
        else:
            found[title].append(line)
    return found


def snippets(lines):
    """("file", path, text) and ("run", None, text), in order."""
    found, i = [], 0
    while i < len(lines):
        told = re.fullmatch(r"<!-- (?:file: (\S+)|run) -->", lines[i].strip())
        if lines[i].lstrip().startswith("<!--") and not told:
            raise Wrong(f"a comment that says neither file nor run: {lines[i]}")
        i += 1
        if not told:
            continue
        if i == len(lines) or not lines[i].startswith("```"):
            raise Wrong(f"no fenced block follows {lines[i - 1]}")
        try:
            end = lines.index("```", i + 1)
        except ValueError:
            raise Wrong(f"the block after {lines[i - 1]} has no end") from None
        found.append(("file" if told[1] else "run", told[1], "\n".join(lines[i + 1:end]) + "\n"))
        i = end + 1
    return found


def whole(command):
    """A here-document without its end is a warning only, a line that goes on is not even that."""
    done = subprocess.run(["bash", "-n"], input=command, text=True, capture_output=True)
    return done.returncode == 0 and not done.stderr and not command.rstrip("\n").endswith("\\")


def commands(text):
    """[[command, expected texts]...]"""
    found, open_lines = [], ""
    for line in text.splitlines():
        if line.startswith(EXPECT) and not open_lines:
            if not found:
                raise Wrong(f"{line}: there is no command before it")
            found[-1][1].append(line[len(EXPECT):].strip())
            continue
        open_lines += line + "\n"
        if not open_lines.strip():
            open_lines = ""
        elif whole(open_lines):
            found.append([open_lines, []])
            open_lines = ""
    if open_lines:
        raise Wrong(f"a command without an end: {open_lines}")
    return found


def environment(scratch):
    programs = [BUILD / "worker" / "host", BUILD / "worker", BUILD / "cli", BUILD / "broker", BUILD / "master"]
    path = ":".join([*map(str, programs), "/usr/bin:/bin:/usr/sbin:/sbin"])
    return {"PATH": path, "HOME": str(scratch), "TMPDIR": os.environ.get("TMPDIR", "/tmp"), "LC_ALL": "C.UTF-8",
            "PHAGESCAN_ENGINES": str(BUILD / "engines"), "PHAGESCAN_SOURCE": str(SOURCE)}


def check(command, expected, output, status):
    at = 0
    for text in expected:
        at = output.find(text, at)
        if at < 0:
            raise Wrong(f"{command}its output does not have (here): {text}\n--- it said (status {status})\n{output}")
        at += len(text)
    if not expected and status != 0 or status > CHATTY:
        raise Wrong(f"{command}ended with status {status}\n--- it said\n{output}")


def run(text, scratch):
    """One shell for the block: what a command sets, the next one has."""
    todo = commands(text)
    script = "exec 2>&1 </dev/null\n" + "".join(f"{command}printf '{MARK}%d{MARK}' $?\n" for command, _ in todo)
    done = subprocess.run(["bash", "-c", script], cwd=scratch, env=environment(scratch), stdout=subprocess.PIPE, text=True,
                          errors="replace", timeout=SECONDS)
    said = done.stdout.split(MARK)
    if len(said) != 2 * len(todo) + 1:
        raise Wrong(f"the shell ended early, with status {done.returncode}\n{done.stdout}")
    for i, (command, expected) in enumerate(todo):
        check(command, expected, said[2 * i], int(said[2 * i + 1]))
    return len(todo)


def write(path, text, scratch):
    target = (scratch / path).resolve()
    if not target.is_relative_to(scratch.resolve()):
        raise Wrong(f"{path} leads out of the scratch directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def follow(title, lines):
    found = snippets(lines)
    if title in TAUGHT and not any(kind == "run" for kind, _, _ in found):
        raise Wrong(f"the section \"{title}\" has nothing to run")
    ran = 0
    with tempfile.TemporaryDirectory(prefix="phagescan-docs.") as name:
        scratch = pathlib.Path(name)
        scratch.chmod(0o755)  # an engine host that root starts becomes somebody else, and reads here
        for kind, path, text in found:
            if kind == "file":
                write(path, text, scratch)
            else:
                ran += run(text, scratch)
    return len(found), ran


def main():
    found = sections(DOCUMENT.read_text())
    for title, due in TAUGHT.items():
        if due and (SOURCE / due).exists() and title not in found:
            sys.exit(f"{DOCUMENT.name}: the section \"{title}\" is missing")
    for title, lines in found.items():
        try:
            n, ran = follow(title, lines)
        except (Wrong, subprocess.TimeoutExpired) as error:
            sys.exit(f"{DOCUMENT.name}, section \"{title}\": {error}")
        if n:
            print(f"ok {title}: {n} snippets, {ran} commands")


main()
