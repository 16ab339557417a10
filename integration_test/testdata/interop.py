"""python3-websockets against an echo server: interop.py URI SIZES [deflate]

Says what it exercised, a line each, once it has seen it to be right.
"""
import asyncio
import sys

import websockets


compression = "deflate" if "deflate" in sys.argv else None


def connect(uri):
    return websockets.connect(uri, max_size=None, compression=compression, ping_interval=None)


async def closed(ws):
    try:
        while True:
            await ws.recv()
    except websockets.exceptions.ConnectionClosed as e:
        return e.rcvd.code, e.rcvd.reason


async def main(uri, sizes):
    print("version websockets", websockets.__version__, "python", sys.version.split()[0])
    async with connect(uri) as ws:
        for size in sizes:
            for kind, unit in (("text", "abcdefghijklmnop"), ("binary", bytes(range(240, 256)))):
                message = (unit * (size // 16 + 1))[:size]
                await ws.send(message)
                assert await ws.recv() == message
                print(kind, size)
        async def parts():
            for n in range(10):
                yield "part %d \u2603 " % n
        await ws.send(parts())
        assert await ws.recv() == "".join("part %d \u2603 " % n for n in range(10))
        print("fragments")
        for payload in b"", b"\0\xff" * 62 + b"\0":
            await asyncio.wait_for(await ws.ping(payload), 5)
        print("ping")
        await asyncio.sleep(1.5)  # the server pings every half second
        await ws.send("still here")
        assert await ws.recv() == "still here"
        print("pong")
        await ws.close(4001, "grüße")
        assert ws.close_code == 4001, ws.close_code
        print("close 4001")
    async with connect(uri) as ws:
        await ws.send("close 4002 bye")
        assert await closed(ws) == (4002, "bye")
        print("closed 4002")
    async with connect(uri) as ws:
        await ws.close(1000)
        print("close", ws.close_code)


asyncio.run(main(sys.argv[1], [int(s) for s in sys.argv[2].split(",")]))
