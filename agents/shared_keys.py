"""Keys and membership in a Secret of the agent's own namespace: its replicas are one agent to the centre.

Whoever creates the Secret made the keys. What is in it is never written over: a new identity begins with
deleting it.
"""

import base64
import binascii
from typing import Any

from agents.joining import CannotJoin
from agents.namespace import LABELS, NAMESPACE, ensure_namespace
from agents.ports import AlreadyExists, Conflict, Kube
from schemas.wire.orders import ObjectRef

ATTEMPTS = 5


class SharedSecret:
    """Implements `agents.joining.Keeping`."""

    def __init__(self, kube: Kube, name: str) -> None:
        self._kube = kube
        self._ref = ObjectRef("v1", "Secret", NAMESPACE, name)

    def where(self, name: str) -> str:
        return f"{self._ref}: data.{name}"

    async def read(self, name: str) -> bytes | None:
        return self._value(await self._kube.get(self._ref), name)

    async def keep(self, name: str, content: bytes) -> bytes:
        """Raises Conflict when others write to it without end."""
        for _ in range(ATTEMPTS):
            found = await self._kube.get(self._ref)
            if (value := self._value(found, name)) is not None:
                return value
            try:
                await self._write(found, name, content)
                return content
            except (AlreadyExists, Conflict):
                continue
        raise Conflict(f"{self._ref} changes faster than it can be read")

    async def _write(self, found: dict[str, Any] | None, name: str, content: bytes) -> None:
        encoded = base64.b64encode(content).decode()
        if found is not None:
            found["data"] = {**(found.get("data") or {}), name: encoded}
            await self._kube.replace(found)
            return
        await ensure_namespace(self._kube)
        metadata = {"name": self._ref.name, "namespace": NAMESPACE, "labels": LABELS}
        await self._kube.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": metadata,
                "type": "Opaque",
                "data": {name: encoded},
            }
        )

    def _value(self, found: dict[str, Any] | None, name: str) -> bytes | None:
        data: dict[str, str] = (found or {}).get("data") or {}
        text = data.get(name)
        if text is None:
            return None
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise CannotJoin(f"{self.where(name)}: {error}") from error
