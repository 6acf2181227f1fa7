"""All connections of clients: counted in all and by address, and closed when one without a request is in the way."""

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from service.connections.descriptors import RESERVED_CONNECTIONS
from service.connections.settings import ConnectionSettings


class Connection(Protocol):
    """One connection of a client."""

    address: str

    def close_idle(self) -> None:
        """Close the connection, which has no request; `Connections` has forgotten it."""

    def close_after_response(self) -> None:
        """Close the connection after the response to the current or next request."""


class Connections:
    """Keeps the connections below their limits. Not thread-safe: use it in the event loop."""

    def __init__(self, settings: ConnectionSettings, max_within_descriptors: int | None = None) -> None:
        """`max_within_descriptors` is the number of connections that the limit of open files allows."""
        self.settings = settings
        self.max_in_all = min(settings.max_connections, max_within_descriptors or settings.max_connections)
        self.max_per_address = min(settings.max_connections_per_address or -(-self.max_in_all // 2), self.max_in_all)
        self.is_draining = False
        self.num_closed_idle = 0
        self.num_refused = 0
        self._all: set[Connection] = set()
        self._num_by_address: Counter[str] = Counter()
        # Connections without a request, in the order in which they became so.
        self._idle: dict[Connection, None] = {}

    @property
    def num_idle(self) -> int:
        """Number of connections without a request."""
        return len(self._idle)

    @property
    def num_busy(self) -> int:
        """Number of connections with a request."""
        return len(self._all) - len(self._idle)

    def __iter__(self) -> Iterator[Connection]:
        """All connections."""
        return iter(tuple(self._all))

    def add(self, connection: Connection) -> None:
        """Add a connection, which has no request yet; above a limit, close the one idle for the longest time."""
        self._all.add(connection)
        self._num_by_address[connection.address] += 1
        if self._num_by_address[connection.address] > self.max_per_address:
            self._close_first_idle(connection.address)
        if len(self._all) > self.max_in_all:
            self._close_first_idle()
        self._idle[connection] = None
        if len(self._all) > self.max_in_all + RESERVED_CONNECTIONS:
            self._close(connection)

    def accept_request(self, connection: Connection) -> bool:
        """Whether a request of this connection is served; otherwise there are too many with a request."""
        num_of_address = self._num_by_address[connection.address]
        return len(self._all) <= self.max_in_all and num_of_address <= self.max_per_address

    def set_busy(self, connection: Connection) -> None:
        """Note that the connection has a request."""
        self._idle.pop(connection, None)

    def set_idle(self, connection: Connection) -> None:
        """Note that the connection has no request any more."""
        if connection in self._all:
            self._idle.pop(connection, None)
            self._idle[connection] = None

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        if connection in self._all:
            self._all.remove(connection)
            self._idle.pop(connection, None)
            self._num_by_address[connection.address] -= 1
            if not self._num_by_address[connection.address]:
                del self._num_by_address[connection.address]

    def drain(self) -> None:
        """Close each connection after its next response, from now on."""
        self.is_draining = True
        for connection in self:
            connection.close_after_response()

    def _close_first_idle(self, address: str | None = None) -> None:
        for connection in self._idle:
            if address in (None, connection.address):
                self._close(connection)
                return

    def _close(self, connection: Connection) -> None:
        self.remove(connection)
        self.num_closed_idle += 1
        connection.close_idle()
