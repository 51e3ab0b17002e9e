"""A server of the parrot in a process of its own, to be ended by a signal: prints its address."""

from __future__ import annotations

import sys

from parrot import Parrot

from chidu.cli.serve import address, open_port
from chidu.serving import ServerSettings, make_app, make_server

if __name__ == "__main__":
    settings = ServerSettings(port=0, at_once=int(sys.argv[2]), grace_seconds=float(sys.argv[3]))
    door = open_port(settings)
    print(address(door), flush=True)
    make_server(make_app(Parrot(pause=float(sys.argv[1])), settings), settings).run(sockets=[door])
