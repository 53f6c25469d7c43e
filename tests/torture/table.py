# table.py - what a test has done and seen, one row each, printed as one table.
import sys


class Table:
    def __init__(self):
        self.rows = []

    def add(self, test, done, seen, good):
        """good: True, False, or None where it could not be tried here."""
        self.rows.append((test, done, seen, {True: "ok", False: "FAIL", None: "left out"}[good]))
        print("%-8s %s: %s" % (self.rows[-1][3], test, seen), file=sys.stderr, flush=True)

    def good(self):
        return all(row[3] != "FAIL" for row in self.rows)

    def print(self):
        rows = [("test", "done", "seen", "verdict"), *self.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        for n, row in enumerate(rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
            if n == 0:
                print("  ".join("-" * width for width in widths))


def main(run):
    """A test by itself: run(table, long). --long takes the long form."""
    table = Table()
    run(table, "--long" in sys.argv[1:])
    table.print()
    sys.exit(0 if table.good() else 1)
