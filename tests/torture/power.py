#!/usr/bin/python3
# power.py - the power goes: only what was synced is there, names too (faults.c keeps it). What was answered 202 or 201,
# and what was seen to have succeeded, has to be in it.
import fcntl
import os
import random
import shutil
import tempfile
import threading
import time

import faults
import kill_loop
import table
from daemon import Daemon


def rebuild(mirror, inode, to):
    """The directory of that inode as it was last synced; a file that never was is empty."""
    os.mkdir(to, 0o700)
    try:
        with open(os.path.join(mirror, "%s.d" % inode)) as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        kind, child, name = line.split(" ", 2)
        path, copy = os.path.join(to, name), os.path.join(mirror, child)
        if kind == "d":
            rebuild(mirror, child, path)
        elif os.path.exists(copy):
            shutil.copyfile(copy, path)
        else:
            open(path, "wb").close()


class Watch(threading.Thread):
    """Sees jobs succeed: {id: outputs}."""

    def __init__(self, daemon):
        super().__init__()
        self.of, self.succeeded, self.over = daemon, {}, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.05):
            page = self.of.ask("GET", "/v1/jobs?state=succeeded&page_size=50").json()
            self.succeeded.update({job["id"]: kill_loop.outputs(job) for job in page["jobs"]})


def cut(mirror, inode, load, watch, where):
    """What would be there if the power went now, and what has been promised by now."""
    promised = dict(load.acknowledged), dict(load.uploaded), dict(watch.succeeded)
    with open(os.path.join(where, "frozen"), "w"):
        lock = os.open(mirror, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)  # nothing becomes durable meanwhile
        rebuild(mirror, inode, os.path.join(where, "data"))
        os.close(lock)
    return promised


def check(where, promised, wrong):
    jobs, files, succeeded = promised
    with Daemon("--threads", "1", workers=0, data=os.path.join(where, "data")) as daemon:
        daemon.start()
        there = {job["id"]: job for job in daemon.jobs()}
        lost = [i for _, i in jobs.values() if i not in there]
        if lost:
            wrong.append("%d of %d jobs are lost" % (len(lost), len(jobs)))
        gone = [d for d, data in files.items() if daemon.ask("GET", "/v1/tensors/" + d).body != data]
        if gone:
            wrong.append("%d of %d uploads are lost" % (len(gone), len(files)))
        for job_id, outputs in succeeded.items():
            job = there.get(job_id)
            if not job or job["state"] != "succeeded" or kill_loop.outputs(job) != outputs:
                wrong.append("job %s had succeeded, and has not" % job_id)
            elif daemon.status("GET", "/v1/jobs/%s/tensors" % job_id) != 200:
                wrong.append("the tensors of job %s are lost" % job_id)
    return len(jobs), len(files), len(succeeded)


def run(rows, long):
    faults.build()
    n, chance, wrong, cuts = 60 if long else 4, random.Random(2), [], []
    where = tempfile.mkdtemp(prefix="rematd-torture-")
    mirror = os.path.join(where, "mirror")
    os.mkdir(mirror)
    # without the sandbox: a worker has to write what it synced beside the data directory
    daemon, control = faults.daemon("--threads", "1", "--sandbox", "off")
    daemon.env["FAULTS_MIRROR"] = mirror
    try:
        with daemon:
            daemon.start()
            inode = os.stat(daemon.data).st_ino
            load, watch = kill_loop.Load(daemon, 3), Watch(daemon)
            try:
                for i in range(n):
                    load.permits.release(8)
                    seen, until = len(watch.succeeded), time.monotonic() + 5
                    while len(watch.succeeded) == seen and time.monotonic() < until:
                        time.sleep(0.01)
                    time.sleep(chance.uniform(0.0, 0.2))
                    place = os.path.join(where, str(i))
                    os.mkdir(place)
                    cuts.append((place, cut(mirror, inode, load, watch, place)))
            finally:  # while the daemon is there: its clients would ask for ever
                load.end()
                watch.over.set()
                watch.join()
        totals = [check(place, promised, wrong) for place, promised in cuts]
    finally:
        shutil.rmtree(where, ignore_errors=True)
    last = totals[-1]
    seen = "in the last one %d jobs, %d uploads, %d results, all there" % last
    done = "%d times, only what was synced is left" % n
    rows.add("disk: the power goes", done, "; ".join(wrong[:4]) or seen, not wrong and all(last))


if __name__ == "__main__":
    table.main(run)
