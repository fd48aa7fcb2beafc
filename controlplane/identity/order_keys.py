"""What the centre signs orders and seals values of Secrets with."""

import base64
import hmac
from collections.abc import Mapping

import msgspec
from nacl.secret import SecretBox

from controlplane.identity.keys import Keys
from controlplane.identity.sealing import MasterKey, seal_to_agent
from controlplane.identity.signing import OrderSigner
from schemas.wire.orders import Verb, Version

SEALED_PREFIX = "sealed:"
_PURPOSE = "secret-value"


class SecretValues:
    """Values of Secrets at rest: the same value gives the same text, so that applying twice is no change.

    The nonce is an HMAC of the value under the master key: equal values are seen to be equal, no more.
    """

    def __init__(self, master: bytes) -> None:
        self._master = master
        self._key = MasterKey(master)

    def seal(self, value: bytes) -> str:
        nonce = hmac.digest(self._master, b"muster-secret-nonce" + value, "sha256")[: SecretBox.NONCE_SIZE]
        return base64.b64encode(self._key.seal(_PURPOSE, value, nonce)).decode()

    def open(self, stored: str) -> bytes:
        """CannotOpen for what another master key sealed."""
        return self._key.open(_PURPOSE, base64.b64decode(stored.removeprefix(SEALED_PREFIX)))


class OrderKeys:
    """Signs orders, and seals the Secrets in them to the agent that may read them."""

    def __init__(self, keys: Keys) -> None:
        self._signer = OrderSigner(keys.order_signing)
        self._values = SecretValues(keys.master)

    def sign(self, cluster: str, workload: str, verb: Verb, version: Version, body: bytes) -> bytes:
        return self._signer.sign(cluster, workload, verb, version, body)

    def reseal(self, values: Mapping[str, str], sealing_key: bytes) -> bytes:
        """`data` of a Secret as Kubernetes has it (base64 values), as JSON, sealed to the agent."""
        opened = {key: base64.b64encode(self._values.open(stored)).decode() for key, stored in values.items()}
        return seal_to_agent(sealing_key, msgspec.json.encode(opened))
