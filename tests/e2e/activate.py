#!/usr/bin/python3
# activate.py - starts a command as systemd does for a unit with sockets: activate.py TOLD COMMAND...
#
# Descriptor 3 listens on a free TCP port, 4 on TOLD.socket. What the command says on NOTIFY_SOCKET goes to the file
# TOLD, a line each. The command keeps this process's id; a child listens to it, and ends with it.
import os
import socket
import sys

told, command = sys.argv[1], sys.argv[2:]
tcp = socket.create_server(("127.0.0.1", 0))
file = socket.socket(socket.AF_UNIX)
file.bind(told + ".socket")
file.listen()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(told + ".notify")
command_id = os.getpid()
if os.fork() == 0:
    notify.settimeout(0.2)
    with open(told, "w", buffering=1) as out:
        while os.getppid() == command_id:
            try:
                print(notify.recv(4096).decode(), file=out)
            except TimeoutError:
                pass
    sys.exit(0)
# Not where the copies would land on one another.
copies = [os.dup(os.dup(os.dup(s.fileno()))) for s in (tcp, file)]
for target, copy in zip((3, 4), copies):
    os.dup2(copy, target, inheritable=True)
os.environ.update(LISTEN_PID=str(command_id), LISTEN_FDS="2", NOTIFY_SOCKET=told + ".notify")
os.execvp(command[0], command)
