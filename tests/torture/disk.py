#!/usr/bin/python3
# disk.py - disks that fail, fill up or lie: a 202 or 201 is kept or was never given, and a damaged store is refused by name.
import contextlib
import errno
import os
import random
import shutil
import subprocess
import tempfile
import time

import faults
import table
from daemon import FILE, JSON, TINY, Daemon

REFUSED = (503, 507)


def file_of(number, n=64):
    header = (b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (n, n)).ljust(80)
    return len(header).to_bytes(8, "little") + header + random.Random(number).randbytes(n)


class Kept:
    """What was acknowledged, and whether it is still there."""

    def __init__(self, daemon):
        self.daemon, self.jobs, self.files, self.statuses, self.wrong = daemon, {}, {}, {}, []

    def count(self, what, status, good):
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status not in good:
            self.wrong.append("%s: %d" % (what, status))

    def submit(self, key, good=(202, *REFUSED)):
        answer = self.daemon.ask("POST", "/v1/jobs", TINY, dict(JSON, **{"Idempotency-Key": key}))
        self.count("submit", answer.status, good)
        if answer.status == 202:
            self.jobs[key] = answer.json()["id"]
        return answer.status

    def upload(self, number, good=(201, *REFUSED), n=64):
        data = file_of(number, n)
        answer = self.daemon.ask("POST", "/v1/tensors", data, FILE)
        self.count("upload", answer.status, good)
        if answer.status == 201:
            self.files[answer.json()["tensor"]] = data
        return answer.status

    def check(self):
        there = {job["id"]: job["state"] for job in self.daemon.jobs()}
        lost = [key for key, i in self.jobs.items() if i not in there]
        if lost:
            self.wrong.append("jobs lost: %s" % lost[:3])
        for digest, data in self.files.items():
            if self.daemon.ask("GET", "/v1/tensors/" + digest).body != data:
                self.wrong.append("upload lost: " + digest)

    def said(self):
        return ", ".join("%d x %d" % (n, status) for status, n in sorted(self.statuses.items()))


def mix(kept, name):
    """What one fault is tried on: a job from submission to its end, an upload, looks at both."""
    kept.submit(name)
    kept.upload(name)
    for path in ("/v1/jobs", "/healthz", "/v1/jobs/" + next(iter(kept.jobs.values()), "none")):
        kept.count("GET " + path, kept.daemon.ask("GET", path).status, (200, 404, 503))
    until = time.monotonic() + 0.5
    while name in kept.jobs and time.monotonic() < until:
        answer = kept.daemon.ask("GET", "/v1/jobs/" + kept.jobs[name])
        if answer.status != 200 or answer.json()["state"] not in ("queued", "running"):
            break
        time.sleep(0.005)


def one_call(rows, long):
    """The n-th call fails, for every n that a mix makes, with EIO and with ENOSPC."""
    daemon, control = faults.daemon(workers=1)
    with daemon:
        daemon.start()
        kept = Kept(daemon)
        mix(kept, "warm")
        control.arm(faults.DISK)
        mix(kept, "count")
        calls = control.disarm()
        step, n_faults = 1 if long else max(1, calls // 12), 0
        for error in (errno.EIO, errno.ENOSPC):
            for n in range(1, calls + 3, step):
                control.arm(faults.DISK, n, n + 1, error)
                mix(kept, "fault-%d-%d" % (error, n))
                control.disarm()
                n_faults += 1
                if kept.submit("heal-%d-%d" % (error, n)) != 202:
                    kept.wrong.append("call %d failed once (%s), the store does not heal" % (n, os.strerror(error)))
                if n_faults % 10 == 0:
                    daemon.kill()
                    daemon.start()
        daemon.kill()
        daemon.start()
        if not daemon.idle(30):
            kept.wrong.append("jobs do not end")
        kept.check()
    some = "" if step == 1 else " (every %d.)" % step
    done = "each of %d calls%s, EIO and ENOSPC: %d faults" % (calls, some, n_faults)
    seen = "%s; %d jobs, %d uploads kept" % (kept.said(), len(kept.jobs), len(kept.files))
    rows.add("disk: one call fails", done, "; ".join(kept.wrong[:4]) or seen, not kept.wrong and n_faults > 10)


def every_call(rows, long):
    """The disk is full, or gone, for a while."""
    daemon, control = faults.daemon(workers=1)
    with daemon:
        daemon.start()
        kept = Kept(daemon)
        mix(kept, "before")
        for error in (errno.ENOSPC, errno.EIO):
            for i in range(20 if long else 4):
                control.arm(faults.DISK, 1, faults.NEVER, error)
                for n in range(5):
                    kept.submit("none-%d-%d-%d" % (error, i, n), REFUSED)
                    kept.upload("none-%d-%d-%d" % (error, i, n), REFUSED)
                kept.count("GET", daemon.ask("GET", "/v1/jobs").status, (200, 503))
                control.disarm()
                kept.submit("then-%d-%d" % (error, i), (202,))
                kept.upload("then-%d-%d" % (error, i), (201,))
        left = os.listdir(os.path.join(daemon.data, "tmp"))
        if left:
            kept.wrong.append("left in tmp: %s" % left[:3])
        daemon.kill()
        daemon.start()
        if not daemon.idle(30):
            kept.wrong.append("jobs do not end")
        kept.check()
    seen = "%s; all accepted once it works again" % kept.said()
    done = "ENOSPC, EIO, %d times each" % (20 if long else 4)
    rows.add("disk: every call fails", done, "; ".join(kept.wrong[:4]) or seen, not kept.wrong)


@contextlib.contextmanager
def small_disk(megabytes):
    where = tempfile.mkdtemp(prefix="rematd-torture-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % megabytes, "none", where], capture_output=True)
    try:
        yield where if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", where], check=False)
        shutil.rmtree(where, ignore_errors=True)


def small(rows, long):
    """A real disk of some mebibytes, filled to the brim, killed, emptied."""
    with small_disk(4) as where:
        if not where:
            rows.add("disk: a full tmpfs", "-", "no mount is permitted here", None)
            return
        with Daemon(workers=1, data=os.path.join(where, "data")) as daemon:
            daemon.start()
            kept = Kept(daemon)
            while kept.upload(len(kept.files), n=200000) == 201 and len(kept.files) < 12:
                pass
            for n in range(2000 if long else 60):  # jobs and the log of the store take the rest
                if kept.submit("small-%d" % n) != 202:
                    break
            while kept.upload(len(kept.files), n=4000) == 201 and len(kept.files) < 2000:
                pass
            full = sum(kept.statuses.get(status, 0) for status in REFUSED)
            daemon.kill()
            with contextlib.suppress(RuntimeError):  # with no room for a line it may say so and end
                daemon.start()
            refused = not daemon.alive()
            told = any(words in daemon.said() for words in ("No space left", "disk is full"))
            if refused and not (daemon.process.returncode == 1 and told):
                kept.wrong.append("on a full disk it ends with %d: %s" % (daemon.process.returncode, daemon.said()[-200:]))
            if refused:  # room is made the way an operator would
                digest = next(iter(kept.files))[7:]
                os.unlink(os.path.join(daemon.data, "blobs", digest[:2], digest))
                del kept.files["sha256:" + digest]
                daemon.start()
            for digest in list(kept.files)[: len(kept.files) - 3]:
                status = daemon.status("DELETE", "/v1/tensors/" + digest)
                kept.count("DELETE", status, (204, 507))
                if status == 507:  # to forget takes a line too, and there is no room for it
                    os.unlink(os.path.join(daemon.data, "blobs", digest[7:9], digest[7:]))
                del kept.files[digest]
            if not daemon.idle(180):  # a worker that could not give its job back has lost it when its lease ends
                kept.wrong.append("jobs do not end")
            kept.check()
            kept.upload("again", (201,))
            kept.submit("again", (202,))
    seen = "%s; %d jobs, %d uploads kept" % (kept.said(), len(kept.jobs), len(kept.files))
    good = not kept.wrong and full > 0
    rows.add("disk: a full tmpfs", "4 MiB filled, kill -9, emptied", "; ".join(kept.wrong[:4]) or seen, good)


# ---- damage ----


def well(daemon, wrong, what):
    """A daemon that took the damaged store answers for what is left of it, and ends well."""
    for path in ("/v1/jobs?page_size=1000", "/readyz", "/v1/jobs?state=succeeded"):
        status = daemon.status("GET", path)
        if status not in (200, 503):
            wrong.append("%s: GET %s: %d" % (what, path, status))
    if daemon.status("POST", "/v1/jobs", TINY) not in (202, 503):
        wrong.append("%s: a job is not taken" % what)
    if not daemon.alive():
        wrong.append("%s: it died: %s" % (what, daemon.said()[-200:]))


def start_damaged(template, change, wrong, what, must_refuse):
    """Starts on a changed copy; returns "refused" or "taken"."""
    where = tempfile.mkdtemp(prefix="rematd-torture-")
    try:
        data = os.path.join(where, "data")
        shutil.copytree(template, data)
        change(data)
        with Daemon(workers=1, data=data) as daemon:
            try:
                daemon.start(10)
            except RuntimeError:
                code, said = daemon.process.poll(), daemon.said()
                if code != 1:
                    wrong.append("%s: exit code %s: %s" % (what, code, said[-200:]))
                elif "rematd.db" not in said:
                    wrong.append("%s: does not name the file: %s" % (what, said[-200:]))
                return "refused"
            if must_refuse:
                wrong.append("%s: taken for a good store" % what)
            well(daemon, wrong, what)
            return "taken"
    finally:
        shutil.rmtree(where, ignore_errors=True)


def flip(name, offsets, chance):
    def change(data):
        with open(os.path.join(data, name), "r+b") as file:
            for offset in offsets:
                file.seek(offset)
                byte = file.read(1)[0]
                file.seek(offset)
                file.write(bytes([byte ^ (1 << chance.randrange(8))]))

    return change


def cut(name, length):
    return lambda data: os.truncate(os.path.join(data, name), length)


def overwrite(name, text):
    def change(data):
        with open(os.path.join(data, name), "r+b") as file:
            file.write(text)

    return change


def damage_cases(template, wal_template, n, chance):
    """(template, change, what, must be refused)"""
    size = os.path.getsize(os.path.join(template, "rematd.db"))
    wal_size = os.path.getsize(os.path.join(wal_template, "rematd.db-wal"))
    yield template, overwrite("rematd.db", b"no database"), "first bytes overwritten", True
    for length in (100, 4096, size // 2, size - 4096):
        yield template, cut("rematd.db", length), "db cut to %d" % length, True
    yield wal_template, cut("rematd.db", 0), "db cut to 0 beside a log", True
    for _ in range(n):
        page = chance.randrange(size // 4096)
        yield template, flip("rematd.db", [page * 4096 + 100 * (page == 0)], chance), "type of page %d" % page, False
        yield template, flip("rematd.db", [chance.randrange(size)], chance), "one bit of the db", False
        yield template, flip("rematd.db", [chance.randrange(size) for _ in range(200)], chance), "200 bits of the db", False
        yield wal_template, flip("rematd.db-wal", [chance.randrange(wal_size)], chance), "one bit of the log", False
        yield wal_template, cut("rematd.db-wal", chance.randrange(wal_size)), "log cut short", False


def templates(where):
    """Two data directories: one that was closed, one that was killed with work in its log."""
    closed, killed = os.path.join(where, "closed"), os.path.join(where, "killed")
    with Daemon(workers=1, data=closed) as daemon:
        daemon.start()
        for _ in range(40):
            daemon.ask("POST", "/v1/jobs", TINY)
        daemon.idle(30)
        daemon.stop()
    with Daemon(workers=1, data=killed) as daemon:
        daemon.start()
        for _ in range(10):
            daemon.ask("POST", "/v1/jobs", TINY)
        daemon.idle(30)
    return closed, killed


def damaged(rows, long):
    chance, wrong, seen = random.Random(3), [], {"refused": 0, "taken": 0}
    where = tempfile.mkdtemp(prefix="rematd-torture-")
    try:
        for template, change, what, must in damage_cases(*templates(where), 60 if long else 3, chance):
            seen[start_damaged(template, change, wrong, what, must)] += 1
    finally:
        shutil.rmtree(where, ignore_errors=True)
    text = "%(refused)d refused by name with exit code 1, %(taken)d taken and well" % seen
    done = "%d damages of db and log" % sum(seen.values())
    rows.add("disk: a damaged store", done, "; ".join(wrong[:4]) or text, not wrong)


def run(rows, long):
    faults.build()
    one_call(rows, long)
    every_call(rows, long)
    small(rows, long)
    damaged(rows, long)


if __name__ == "__main__":
    table.main(run)
