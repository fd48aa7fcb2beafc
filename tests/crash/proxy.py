"""A way that can be cut: TCP forwarded, until it is not. Nobody is told; connections stay and say nothing."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class Way:
    """From a port of its own to 127.0.0.1:`target`. Lives in the event loop that opened it."""

    target: int
    port: int = 0
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _carrying: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"])

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._open.set()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self.drop()

    async def drop(self) -> None:
        """Every connection ends; who comes anew is carried."""
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def cut(self) -> None:
        """As a firewall that drops: what is sent stays unanswered, also by whoever connects anew."""
        self._open.clear()

    def mend(self) -> None:
        self._open.set()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        try:
            await self._open.wait()
            there, onto = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._carry(reader, onto))
                    group.create_task(self._carry(there, writer))
            finally:
                onto.close()
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
