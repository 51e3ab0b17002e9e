"""One map over the cores of this machine or of a cluster; it sets a worker's environment before torch loads.

environment.py  what a worker's environment holds; cores
processes.py    the map over processes of this machine
place.py        where a map works: this machine, or a cluster; what `--on` says
cluster.py      a Ray cluster, from this process's side
session.py      the process that speaks to Ray
tasks.py        one map as tasks of a cluster, and what runs on the nodes
words.py        what a worker has to say, on its way to who called
"""

from __future__ import annotations

from chidu.parallel.environment import WORKER_ENVIRONMENT, cores, worker_environment
from chidu.parallel.place import Local, Place, open_place
from chidu.parallel.processes import Emit, heed_stops, heeding_stops, is_stop_asked, map_processes, meeting

__all__ = [
    "WORKER_ENVIRONMENT",
    "Emit",
    "Local",
    "Place",
    "cores",
    "heed_stops",
    "heeding_stops",
    "is_stop_asked",
    "map_processes",
    "meeting",
    "open_place",
    "worker_environment",
]
