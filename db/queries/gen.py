#!/usr/bin/env python3
"""Makes db/queries.h and db/queries.c from .sql files (see README.md), and the table of migrations.

usage: gen.py queries OUT.h OUT.c FILE.sql...
       gen.py migrations OUT.c NNNN_name.sql...
"""
import os
import re
import sys

HEADER = """/* Made by db/queries/gen.py from the .sql files: the statements, once. */
#ifndef PS_DB_QUERIES_H
#define PS_DB_QUERIES_H

enum ps_query_id {
%s    PS_QUERIES_N
};

struct ps_query {
    const char *name; /* also its name as a prepared statement */
    const char *sql;
    int params_n;     /* highest $n */
};

extern const struct ps_query ps_queries[PS_QUERIES_N + 1];

#endif
"""


def literal(text):
    lines = text.replace("\\", "\\\\").replace('"', '\\"').split("\n")
    return "\n        ".join('"%s\\n"' % line for line in lines)


def blocks(path):
    stem = os.path.splitext(os.path.basename(path))[0]
    name, lines = None, []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            found = re.match(r"--\s*name:\s*(\S+)\s*$", line)
            if found:
                if name:
                    yield name, lines
                name, lines = found.group(1), []
                if not re.fullmatch(re.escape(stem) + r"_[a-z0-9_]+", name):
                    sys.exit("%s:%d: a name in this file begins with %s_" % (path, number, stem))
            else:
                code = re.sub(r"--.*$", "", line.rstrip())
                if code.strip() and not name:
                    sys.exit("%s:%d: SQL before the first '-- name:'" % (path, number))
                if code.strip():
                    lines.append(code)
    if name:
        yield name, lines


def queries(out_h, out_c, paths):
    entries, seen = [], set()
    for path in paths:
        for name, lines in blocks(path):
            if name in seen:
                sys.exit("%s: %s is there twice" % (path, name))
            seen.add(name)
            sql = "\n".join(lines).rstrip().rstrip(";")
            if not sql:
                sys.exit("%s: %s is empty" % (path, name))
            params = max([int(n) for n in re.findall(r"\$(\d+)", sql)] or [0])
            entries.append((name, sql, params))
    with open(out_h, "w", encoding="utf-8") as file:
        file.write(HEADER % "".join("    PS_Q_%s,\n" % name.upper() for name, _, _ in entries))
    with open(out_c, "w", encoding="utf-8") as file:
        file.write('#include "db/queries.h"\n\n#include <stddef.h>\n\n')
        file.write("const struct ps_query ps_queries[PS_QUERIES_N + 1] = {\n")
        for name, sql, params in entries:
            file.write('    {"%s",\n        %s,\n        %d},\n' % (name, literal(sql), params))
        file.write("    {NULL, NULL, 0},\n};\n")


def migrations(out_c, paths):
    with open(out_c, "w", encoding="utf-8") as file:
        file.write('#include "db/migrations.h"\n\n')
        file.write("const struct ps_migration ps_migrations[] = {\n")
        for expected, path in enumerate(paths, 1):
            name = os.path.splitext(os.path.basename(path))[0]
            if int(name.split("_")[0]) != expected:
                sys.exit("%s: expected number %d" % (path, expected))
            with open(path, encoding="utf-8") as source:
                text = source.read()
            file.write('    {%d, "%s",\n        %s},\n' % (expected, name, literal(text.rstrip("\n"))))
        file.write("};\n\nconst int ps_migrations_n = %d;\n" % len(paths))


if sys.argv[1] == "queries":
    queries(sys.argv[2], sys.argv[3], sys.argv[4:])
else:
    migrations(sys.argv[2], sys.argv[3:])
