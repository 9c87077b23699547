#!/usr/bin/env python3
"""docs/ops.md holds the table that `cupel inspect --ops` prints. --rewrite writes it anew."""
import sys

import harness


def main():
    rewrite = "--rewrite" in sys.argv
    cupel, checks = harness.begin([word for word in sys.argv if word != "--rewrite"])
    page = cupel.source / "docs/ops.md"
    before, _, rest = page.read_text().partition("| operator |")
    table = cupel.run("inspect", "--ops").stdout
    after = rest[rest.index("\n\n"):] if "\n\n" in rest else "\n"
    if rewrite:
        page.write_text(before + table.rstrip("\n") + after)
    checks.equal("| operator |" + rest[:len(rest) - len(after)] + "\n" if not rewrite else table, table, "the table of docs/ops.md")
    names = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    checks.that(len(names) == len(set(names)), "an operator stands in the table twice")
    result = cupel.run("inspect")
    checks.that(result.returncode == 2 and "MODEL is required" in result.stderr, f"inspect alone: {result.stderr}")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
