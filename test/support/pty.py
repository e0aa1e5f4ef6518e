"""Runs a program on a pseudo terminal: pty.py COLUMNS ROWS PROGRAM ARGUMENT...

Takes lines of JSON: {"keys": TEXT}, {"size": [COLUMNS, ROWS]}, {"signal": NUMBER}. What the program
writes goes to stdout as it is. The last line on stderr tells how it ended, and whether the terminal
has the settings that it had before.
"""

import fcntl
import json
import os
import select
import struct
import sys
import termios


def resize(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


master, slave = os.openpty()
resize(slave, int(sys.argv[1]), int(sys.argv[2]))
before = termios.tcgetattr(slave)
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.closerange(3, 64)
    os.execvp(sys.argv[3], sys.argv[3:])

rest = b""
status = None
was_raw = False
watched = [master, 0]
while True:
    ready, _, _ = select.select(watched, [], [], 0.05)
    was_raw = was_raw or not termios.tcgetattr(slave)[3] & termios.ICANON
    if master in ready:
        os.write(1, os.read(master, 65536))
    if 0 in ready:
        part = os.read(0, 65536)
        if not part:
            # Who ran this is gone, or wants no more.
            watched.remove(0)
            os.kill(child, 9)
        rest += part
        *lines, rest = rest.split(b"\n")
        for line in lines:
            asked = json.loads(line)
            if "keys" in asked:
                os.write(master, asked["keys"].encode())
            if "size" in asked:
                resize(master, *asked["size"])
            if "signal" in asked:
                os.kill(child, asked["signal"])
    if status is None:
        pid, ended = os.waitpid(child, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(ended)
    elif master not in ready:
        break
restored = termios.tcgetattr(slave) == before
print(json.dumps({"status": status, "restored": restored, "wasRaw": was_raw}), file=sys.stderr)
