"""A heavy synthetic signature set: random, so that nothing matches, and the same for the same seed.

A quarter are body patterns (.ndb), which cost time on every byte, the rest whole-file hashes (.hsb), which cost memory:
about the mix of an official set. ORIGIN says site: silence counts."""

import pathlib
import random
import sys


def make(directory, count, seed=1):
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    patterns = count // 4
    with open(directory / "heavy.ndb", "w") as out:
        for i in range(patterns):
            out.write(f"Heavy.Pattern.{i}:{rng.choice('0134569')}:*:{rng.randbytes(rng.randint(16, 40)).hex()}\n")
    with open(directory / "heavy.hsb", "w") as out:
        for i in range(count - patterns):
            out.write(f"{rng.randbytes(32).hex()}:{rng.randint(1000, 5000000)}:Heavy.Hash.{i}\n")
    (directory / "ORIGIN").write_text("site\n")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: signatures.py DIRECTORY COUNT [SEED]")
    make(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
