"""A client that is none of ours: echoes through Debian's python3-websockets.

usage: client.py URI MESSAGES
"""
import asyncio
import os
import sys

import websockets


async def main(uri, count):
    async with websockets.connect(uri, max_size=None, compression=None) as ws:
        for n in range(count):
            message = "grüße %d " % n + "x" * n if n % 2 else os.urandom(n * 700)
            await ws.send(message)
            assert await ws.recv() == message, n

        async def parts():
            for n in range(100):
                yield "part %d ☃ " % n
        await ws.send(parts())
        assert await ws.recv() == "".join(["part %d ☃ " % n for n in range(100)])
        pong = await ws.ping(b"here")
        await asyncio.wait_for(pong, 5)
    print("closed", ws.close_code)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
