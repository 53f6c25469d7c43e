#!/usr/bin/python3
# torture.py - the tests of this directory, and one table of what they saw. torture.py [--long] [NAME...]
#
# The short form takes about a minute; the long one hours. MINUTES= for the soak, SEED= to repeat what was seen.
import importlib
import sys
import threading
import time

import table

BESIDE = ["kill_loop"], ["raw", "power", "disk", "allocations"]  # in the short form at the same time: they mostly wait
ALONE = ["mutate", "slow", "memory"]  # these look at a clock, or at memory
LONG = ["soak"]


def run(name, rows, long):
    try:
        importlib.import_module(name).run(rows, long)
    except Exception as e:  # one that breaks does not take the table with it
        rows.add(name, "-", "%s: %s" % (type(e).__name__, str(e)[-300:]), False)


def main():
    words = sys.argv[1:]
    long = "--long" in words
    names = [word for word in words if not word.startswith("-")]
    rows, began = table.Table(), time.monotonic()
    chosen = [name for name in [*BESIDE[0], *BESIDE[1], *ALONE, *(LONG if long else [])] if not names or name in names]
    if set(names) - set([*BESIDE[0], *BESIDE[1], *ALONE, *LONG]):
        sys.exit("torture.py: there are %s" % ", ".join([*BESIDE[0], *BESIDE[1], *ALONE, *LONG]))
    chosen += [name for name in names if name in LONG and name not in chosen]
    if not long and not names:
        for name in (name for group in BESIDE for name in group):
            importlib.import_module(name)  # once, before threads
        threads = [threading.Thread(target=lambda group=group: [run(name, rows, long) for name in group]) for group in BESIDE]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        chosen = ALONE
    for name in chosen:
        run(name, rows, long)
    rows.print()
    print("%d rows in %.0f s" % (len(rows.rows), time.monotonic() - began))
    sys.exit(0 if rows.good() and rows.rows else 1)


if __name__ == "__main__":
    main()
