"""Apps that are served from a thread of the test's own process."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


class CompleteServer(uvicorn.Server):
    """A server that ends with every connection closed.

    uvicorn leaves one open that comes while it stops. The browser of a test that follows on the same socket would ask
    by that connection, and nobody would answer.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()


@contextmanager
def served(app: Any, own: socket.socket) -> Iterator[str]:
    """The address of an app on a listening socket, which is closed with it."""
    server = CompleteServer(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [own]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server ended while starting"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{own.getsockname()[1]}"
    server.should_exit = True
    thread.join(300)
    own.close()
