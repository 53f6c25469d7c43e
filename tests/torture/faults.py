# faults.py - the test's side of faults.c: builds it, and says which call is to fail.
import mmap
import os
import struct
import subprocess
import tempfile

from daemon import ROOT, Daemon

DISK, ALLOCATE = 1 | 2 | 4 | 8 | 16, 32
NEVER = 0xFFFFFFFF
LIBRARY = os.path.join(ROOT, "build", "torture", "faults.so")


def build():
    os.makedirs(os.path.dirname(LIBRARY), exist_ok=True)
    source = os.path.join(ROOT, "tests", "torture", "faults.c")
    command = "gcc -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -shared -fPIC".split()
    subprocess.run([*command, source, "-o", LIBRARY, "-ldl"], check=True)


class Faults:
    """The memory that is shared with a daemon started with env()."""

    def __init__(self, below):
        self.file = tempfile.NamedTemporaryFile()
        self.file.write(bytes(24))
        self.file.flush()
        self.shared = mmap.mmap(self.file.fileno(), 24)
        self.below = below

    def env(self):
        return {"LD_PRELOAD": LIBRARY, "FAULTS_CONTROL": self.file.name, "FAULTS_BELOW": self.below}

    def arm(self, kinds, first=NEVER, end=NEVER, error=5):
        """From now on the calls first..end - 1 (from 1) fail; without them calls are counted only."""
        self.shared[16:20] = struct.pack("<I", 0)
        self.shared[0:20] = struct.pack("<5I", 0, first, end, error, kinds)

    def disarm(self):
        """Returns the calls that were counted."""
        self.shared[16:20] = struct.pack("<I", 0)
        return struct.unpack("<I", self.shared[0:4])[0]

    def live(self):
        """Allocations that are not freed."""
        return struct.unpack("<i", self.shared[20:24])[0]


def daemon(*flags, **named):
    """A Daemon under faults: (daemon, faults)."""
    d = Daemon(*flags, **named)
    f = Faults(d.data)
    d.env.update(f.env())
    return d, f
