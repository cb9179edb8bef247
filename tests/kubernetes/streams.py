"""The doors into a Pod that kubectl uses: its log, a command in a container, a forwarded port.

The last two are WebSockets. A command has a channel a stream, named by the first byte (subprotocol v5.channel.k8s.io). A forwarded port
carries SPDY/3.1 frames; of those, as many as kubectl sends.
"""

import asyncio
import contextlib
import json
import struct
import zlib

import aiohttp
from aiohttp import web

OUT, ERR, STATUS = 1, 2, 3
SYN_STREAM, SYN_REPLY, PING = 1, 2, 6
FIN = 1


async def log(request, file, follow):
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    with open(file, "rb") as lines:
        while True:
            await response.write(lines.read())
            if not follow:
                return response
            await asyncio.sleep(0.05)


async def execute(request, command, environment):
    socket = web.WebSocketResponse(protocols=["v5.channel.k8s.io"])
    await socket.prepare(request)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)

    async def tell(channel, stream):
        while text := await stream.read(4096):
            await socket.send_bytes(bytes([channel]) + text)

    await asyncio.gather(tell(OUT, process.stdout), tell(ERR, process.stderr))
    code = await process.wait()
    causes = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    ended = {"status": "Success"} if code == 0 else {"status": "Failure", "reason": "NonZeroExitCode", "details": causes}
    await socket.send_bytes(bytes([STATUS]) + json.dumps(ended | {"message": f"exit code {code}"}).encode())
    await socket.close()
    return socket


async def forward(request, ports):
    """A stream that brings bytes is a connection; kubectl opens one for errors beside each, which stays silent."""
    socket = web.WebSocketResponse(protocols=["SPDY/3.1+portforward.k8s.io"])
    await socket.prepare(request)
    port, connections, tasks = ports[9901], {}, set()
    packer, buffer = zlib.compressobj(), b""

    async def send(kind, flags, payload):
        await socket.send_bytes(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload)

    async def back(stream, reader):
        with contextlib.suppress(ConnectionError):
            while text := await reader.read(65536):
                await socket.send_bytes(struct.pack(">II", stream, len(text)) + text)
            await socket.send_bytes(struct.pack(">II", stream, FIN << 24))

    async def data(stream, flags, payload):
        if payload and stream not in connections:
            reader, connections[stream] = await asyncio.open_connection("127.0.0.1", port)
            tasks.add(asyncio.create_task(back(stream, reader)))
        if payload:
            connections[stream].write(payload)
        elif flags & FIN and stream not in connections:
            await socket.send_bytes(struct.pack(">II", stream, FIN << 24))

    async for message in socket:
        buffer += message.data if message.type == aiohttp.WSMsgType.BINARY else b""
        while len(buffer) >= 8:
            first, second = struct.unpack(">II", buffer[:8])
            length, flags = second & 0xFFFFFF, second >> 24
            if len(buffer) < 8 + length:
                break
            payload, buffer = buffer[8 : 8 + length], buffer[8 + length :]
            kind = first & 0xFFFF
            if not first >> 31:
                await data(first, flags, payload)
            elif kind == SYN_STREAM:
                no_headers = packer.compress(struct.pack(">I", 0)) + packer.flush(zlib.Z_SYNC_FLUSH)
                await send(SYN_REPLY, 0, payload[:4] + no_headers)
            elif kind == PING:
                await send(PING, 0, payload)
    for writer in connections.values():
        writer.close()
    return socket
