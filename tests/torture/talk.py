# talk.py - bytes to a daemon and what comes back, without an HTTP library that would know better.
import socket
import struct
import time


def answers(data, heads=0):
    """The statuses of the answers in data, in order; interim ones too. heads: the first so many have no bodies."""
    out, at = [], 0
    while at < len(data):
        end = data.find(b"\r\n\r\n", at)
        if end < 0 or not data.startswith(b"HTTP/1.", at):
            out.append(-1)  # no HTTP, or cut short
            break
        head = data[at:end].decode("latin-1").lower()
        status = int(head[9:12])
        out.append(status)
        at = end + 4
        if status >= 200:
            heads -= 1
        if status < 200 or status in (204, 304) or heads >= 0:
            continue
        length = head.partition("content-length:")[2].split("\r\n")[0].strip()
        if not length:
            break  # until the connection closes
        at += int(length)
        if "connection: close" in head and data.find(b" 200 OK", at) < 0:
            break  # libmicrohttpd 0.9.75 sends the head of its own refusals twice: nobody reads so far
    return out


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def hear(s, seconds, quiet):
    """Everything until the peer closes, seconds pass, or nothing came for `quiet` after something did: (bytes, closed)."""
    data, until = b"", time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        s.settimeout(min(left, quiet) if data else left)
        try:
            piece = s.recv(1 << 18)
        except TimeoutError:
            break
        except OSError:
            return data, True
        if not piece:
            return data, True
        data += piece
    return data, False


def converse(daemon, steps, seconds=5, quiet=0.15):
    """steps: bytes to send, a number of seconds to wait, "half" (we send no more), "reset". (bytes, closed)"""
    if isinstance(steps, bytes):
        steps = [steps]
    s = daemon.dial()
    try:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for step in steps:
            if step == "reset":
                reset(s)
                return b"", True
            if step == "half":
                s.shutdown(socket.SHUT_WR)
            elif isinstance(step, bytes):
                s.sendall(step)
            else:
                time.sleep(step)
    except OSError:
        pass  # refused while we still talked: what was said stands
    with s:
        return hear(s, seconds, quiet)
