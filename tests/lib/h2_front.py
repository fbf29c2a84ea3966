"""HTTP/2 over TLS in front of a server of HTTP/1.1 on loopback, as real API servers speak it: all requests of a client come
on one connection, and each is carried to the server on one of its own."""
import asyncio
import contextlib
import ssl
import threading

import h2.config
import h2.connection
import h2.events

SKIPPED = {"connection", "transfer-encoding", "keep-alive"}  # HTTP/2 has no such fields


class Client(asyncio.Protocol):
    """One connection. Runs in the front's loop."""

    def __init__(self, target):
        self.target, self.tasks, self.bodies = target, {}, {}
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.moved = asyncio.Event()  # windows, or an end

    def connection_made(self, transport):
        self.transport = transport
        self.http.initiate_connection()
        self.flush()

    def connection_lost(self, _):
        for task in self.tasks.values():
            task.cancel()

    def flush(self):
        self.transport.write(self.http.data_to_send())

    def data_received(self, data):
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.bodies[event.stream_id] = dict(event.headers), bytearray()
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id][1].extend(event.data)
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.begin(event.stream_id)
            elif isinstance(event, h2.events.StreamReset) and event.stream_id in self.tasks:
                self.tasks[event.stream_id].cancel()
        self.moved.set()
        self.flush()

    def begin(self, stream):
        self.tasks[stream] = asyncio.create_task(self.carry(stream, *self.bodies.pop(stream)))
        self.tasks[stream].add_done_callback(lambda _: self.tasks.pop(stream, None))

    async def carry(self, stream, fields, body):
        """A server that breaks off does so on this stream, and on no other."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            words = ["%s %s HTTP/1.1" % (fields[":method"], fields[":path"]), "Host: " + fields[":authority"]]
            words += ["%s: %s" % field for field in fields.items() if not field[0].startswith((":", "content-length"))]
            words += ["Content-Length: %d" % len(body), "", ""]
            writer.write("\r\n".join(words).encode() + body)
            await self.answer(stream, reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.http.reset_stream(stream)
            self.flush()
        finally:
            writer.close()

    async def answer(self, stream, reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        said = dict(fields)
        self.http.send_headers(stream, [(":status", head[0].split()[1]), *(f for f in fields if f[0] not in SKIPPED)])
        self.flush()
        if "content-length" in said:
            await self.send(stream, await reader.readexactly(int(said["content-length"])))
        else:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await self.send(stream, await reader.readexactly(size))
                await reader.readexactly(2)
        self.http.end_stream(stream)
        self.flush()

    async def send(self, stream, data):
        while data:
            room = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size)
            if not room:
                self.moved.clear()
                await self.moved.wait()
                continue
            self.http.send_data(stream, data[:room])
            data = data[room:]
            self.flush()


class H2Front:
    """Runs while inside `with`. certificate, key: files."""

    def __init__(self, target, certificate, key):
        self.target = target
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.set_alpn_protocols(["h2"])
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.up, self.port = threading.Event(), 0

    def run(self):
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self.serve())

    async def serve(self):
        self.loop = asyncio.get_running_loop()
        server = await self.loop.create_server(lambda: Client(self.target), "127.0.0.1", 0, ssl=self.context)
        self.port = server.sockets[0].getsockname()[1]
        self.task = asyncio.current_task()
        self.up.set()
        await asyncio.Event().wait()

    def __enter__(self):
        self.thread.start()
        assert self.up.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.task.cancel)
        self.thread.join(10)
