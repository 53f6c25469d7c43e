#!/usr/bin/python3
# record.py - stands between the tests and the daemon and keeps a copy of every byte: record.py PORT DIRECTORY
#
# Prints the address it listens on. A connection leaves two files, N.request and N.answer; bytes are passed on as they
# come, so whatever a test sends or breaks off arrives as it would without.
import os
import socket
import sys
import threading


def pump(source, sink, path):
    with open(path, "wb", buffering=0) as copy:
        try:
            while data := source.recv(65536):
                copy.write(data)
                sink.sendall(data)
        except OSError:
            pass
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def connection(client, port, path):
    try:
        daemon = socket.create_connection(("127.0.0.1", port))
    except OSError:
        client.close()
        return
    for s in (client, daemon):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    asks = threading.Thread(target=pump, args=(client, daemon, path + ".request"))
    asks.start()
    pump(daemon, client, path + ".answer")
    asks.join()
    client.close()
    daemon.close()


def main():
    port, directory = int(sys.argv[1]), sys.argv[2]
    with socket.create_server(("127.0.0.1", 0), backlog=256) as door:
        print("http://127.0.0.1:%d" % door.getsockname()[1], flush=True)
        for n in range(1 << 30):
            client, _ = door.accept()
            path = os.path.join(directory, "%d-%d" % (os.getpid(), n))
            threading.Thread(target=connection, args=(client, port, path), daemon=True).start()


main()
