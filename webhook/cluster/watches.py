"""A group of watches, started, stopped and asked as one."""

from collections.abc import Iterable
from typing import Any

from webhook.cluster.reflector import Reflector
from webhook.core.figures import WatchHealth


class Watches:
    """Reflectors that begin and end together."""

    def __init__(self, reflectors: Iterable[Reflector[Any]]) -> None:
        self._reflectors = tuple(reflectors)

    def start(self) -> None:
        """Begin to watch."""
        for reflector in self._reflectors:
            reflector.start()

    def stop(self) -> None:
        """End every watch."""
        for reflector in self._reflectors:
            reflector.cut()
        for reflector in self._reflectors:
            reflector.stop()

    def synced(self) -> bool:
        """Return whether everything has been listed once."""
        return all(reflector.synced for reflector in self._reflectors)

    def health(self) -> tuple[WatchHealth, ...]:
        """Say how each watch is."""
        return tuple(reflector.health() for reflector in self._reflectors)
