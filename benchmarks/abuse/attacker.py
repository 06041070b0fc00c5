"""The process that attacks."""

import asyncio
import os
import time
from collections import Counter
from multiprocessing.connection import Connection

from benchmarks.abuse.attacks import attacks, run

OPEN_SECONDS = 60.0
"""For all connections to have been opened once."""


def attack_until_told(number: int, host: str, port: int, told: Connection) -> None:
    """In a process of its own, of the lowest priority: attackers bring processors of their own, which here are none."""
    os.nice(19)
    attack = attacks()[number]

    async def until_told() -> Counter[str]:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(told.fileno(), stop.set)
        seen: Counter[str] = Counter()
        attacking = asyncio.create_task(run(attack, host, port, stop, seen))
        until = time.monotonic() + OPEN_SECONDS
        while seen["opened"] < attack.connections and time.monotonic() < until:
            await asyncio.sleep(0.05)
        told.send("ready")
        await attacking
        loop.remove_reader(told.fileno())
        return seen

    seen = asyncio.run(until_told())
    told.recv()
    told.send(seen)
