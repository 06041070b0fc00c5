"""The process that attacks."""

import asyncio
import os
from collections import Counter
from multiprocessing.connection import Connection

from benchmarks.abuse.attacks import attacks, run

NICE = 10


def attack_until_told(number: int, host: str, port: int, told: Connection) -> None:
    """In a process of its own."""
    os.nice(NICE)
    attack = attacks()[number]

    async def until_told() -> Counter[str]:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(told.fileno(), stop.set)
        told.send("ready")
        seen = await run(attack, host, port, stop)
        loop.remove_reader(told.fileno())
        return seen

    seen = asyncio.run(until_told())
    told.recv()
    told.send(seen)
