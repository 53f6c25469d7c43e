# daemon.py - a rematd of one's own on a free port: started, asked, killed, started again. Standard library only.
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REMATD = os.environ.get("REMATD", os.path.join(ROOT, "bin", "rematd"))
JSON = {"Content-Type": "application/json"}
FILE = {"Content-Type": "application/octet-stream"}
TINY = json.dumps(
    {"kind": "attention", "inputs": {"q": [[1, 0], [0, 1]], "k": [[1, 0], [0, 1]], "v": [[1, 2], [3, 4]]}}
).encode()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Daemon:
    """flags: of `rematd serve`; env: added to ours; data: a directory that outlives it, or a new one."""

    def __init__(self, *flags, workers=2, data=None, env=None, command=None):
        self.directory = None if data else tempfile.mkdtemp(prefix="rematd-torture-")
        self.data = data or os.path.join(self.directory, "data")
        self.flags = ["--workers", str(workers), *flags]
        self.env = dict(os.environ, **(env or {}))
        self.command = command or [REMATD]
        self.process = None
        self.port = 0
        self.log = tempfile.TemporaryFile()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.log.close()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    # ---- life ----

    def spawn(self):
        """The process alone, without waiting."""
        try:
            os.unlink(os.path.join(self.data, "url"))  # a killed daemon leaves its own
        except FileNotFoundError:
            pass
        self.port = 0
        self.process = subprocess.Popen(
            [*self.command, "serve", "--listen", "127.0.0.1:0", "--data", self.data, *self.flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            env=self.env,
        )

    def start(self, seconds=20):
        """Spawns and waits until /readyz says 200; returns the seconds that took."""
        began = time.monotonic()
        self.spawn()
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                raise RuntimeError("rematd ended with %d: %s" % (self.process.returncode, self.said()[-600:]))
            if self.find() and self.status("GET", "/readyz") == 200:
                return time.monotonic() - began
            time.sleep(0.002)
        raise RuntimeError("rematd is not ready after %d s: %s" % (seconds, self.said()[-600:]))

    def find(self):
        try:
            with open(os.path.join(self.data, "url")) as file:
                text = file.read().strip()
            self.port = int(text.rsplit(":", 1)[1])
        except (OSError, ValueError, IndexError):
            pass
        return self.port

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.process:
            kill(self.process.pid)
            self.process.wait()

    def stop(self, seconds=40):
        """SIGTERM; the exit code."""
        kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(seconds)

    def children(self):
        try:
            with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as file:
                return [int(pid) for pid in file.read().split()]
        except OSError:
            return []

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    # ---- questions ----

    def ask(self, method, path, body=None, headers=None, seconds=30):
        """An Answer; OSError or HTTPException where there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, headers or ({} if body is None else JSON))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def status(self, method, path, body=None, headers=None, seconds=30):
        """The status, or 0 where there is no answer."""
        try:
            return self.ask(method, path, body, headers, seconds).status
        except (OSError, http.client.HTTPException):
            return 0

    def dial(self, seconds=10):
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def jobs(self):
        """Every job there is, newest first."""
        token = ""
        while True:
            page = self.ask("GET", "/v1/jobs?page_size=500" + token).json()
            yield from page["jobs"]
            if not page["next_page_token"]:
                return
            token = "&page_token=" + page["next_page_token"]

    def events(self, job_id, seconds=30):
        """A finished job's events: (name, data)."""
        out, name = [], None
        for line in self.ask("GET", "/v1/jobs/%s/events" % job_id, seconds=seconds).body.decode().split("\n"):
            key, _, value = line.partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                out.append((name, json.loads(value)))
        return out

    def idle(self, seconds):
        """Waits until nothing is queued or runs; whether that came to pass."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not any(self.ask("GET", "/v1/jobs?page_size=1&state=" + s).json()["jobs"] for s in ("queued", "running")):
                return True
            time.sleep(0.02)
        return False


def rss_bytes(pid):
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))
