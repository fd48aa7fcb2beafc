"""The agent's side of signatures and seals."""

import msgspec
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.signing import VerifyKey

from schemas.wire.orders import Order, OrderBody, signing_payload

_decode_values = msgspec.json.Decoder(dict[str, str])


class BadOrder(ValueError):
    """An order that cannot be taken as it is; the text names what is wrong."""


class OrderKeys:
    """order_key: the centre's Ed25519 public key. sealing_key: the agent's X25519 private key. 32 bytes."""

    def __init__(self, cluster: str, order_key: bytes, sealing_key: bytes) -> None:
        """ValueError for a key of another length."""
        self._cluster = cluster
        self._verify = VerifyKey(order_key)
        self._box = SealedBox(PrivateKey(sealing_key))

    def is_signed(self, order: Order) -> bool:
        """Whether the centre signed this very order for this very cluster."""
        payload = signing_payload(self._cluster, order.workload, order.verb, order.version, order.body)
        try:
            self._verify.verify(payload, order.signature)
        except (BadSignatureError, ValueError):
            return False
        return True

    def unseal(self, body: OrderBody) -> list[dict[str, object]]:
        """The ordered objects, the values of Secrets put in. Raises BadOrder."""
        objects: list[dict[str, object]] = list(body.objects)
        for sealed in body.sealed:
            if not 0 <= sealed.index < len(objects):
                raise BadOrder(f"sealed: index {sealed.index} of {len(objects)} objects")
            try:
                values = _decode_values.decode(self._box.decrypt(sealed.box))
            except (CryptoError, ValueError, msgspec.MsgspecError) as error:
                raise BadOrder(f"sealed: values of object {sealed.index} do not open: {error}") from error
            if values:
                objects[sealed.index] = {**objects[sealed.index], "data": values}
        return objects
