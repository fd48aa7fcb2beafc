"""What a NATS server must be told to trust this installation: for the embedded server and for one outside."""

from dataclasses import dataclass
from pathlib import Path

from controlplane.identity import accounts, jwt
from controlplane.identity.keys import Keys, init, write_private
from schemas.wire.subjects import Subjects


@dataclass(frozen=True)
class Trust:
    """The public half of an installation: what stands in a server's configuration. No secret in it."""

    operator: str
    system_account: str
    system_account_jwt: str
    centre_account: str
    centre_account_jwt: str

    @staticmethod
    def of(keys: Keys, subjects: tuple[Subjects, ...], issued_at: int) -> "Trust":
        return Trust(
            operator=accounts.operator_jwt(keys, issued_at),
            system_account=keys.system_account.public,
            system_account_jwt=accounts.system_account_jwt(keys, issued_at),
            centre_account=keys.centre_account.public,
            centre_account_jwt=accounts.centre_account_jwt(keys, subjects, issued_at),
        )

    def stanza(self, resolver_folder: str) -> str:
        """Operator mode with a resolver that keeps the accounts pushed to it, in nats-server's syntax."""
        return f"""operator: {self.operator}
system_account: {self.system_account}
resolver: {{
  type: full
  dir: "{resolver_folder}"
  allow_delete: false
  interval: "2m"
}}
resolver_preload: {{
  {self.system_account}: {self.system_account_jwt}
  {self.centre_account}: {self.centre_account_jwt}
}}
"""


EXTERNAL_CONFIGURATION = """\
# Written by `muster nats init`. Start with: nats-server -c {folder}/nats-server.conf
# Or take only the trust into a configuration of your own: include "muster-trust.conf"
include "muster-trust.conf"

port: 4222
http: "127.0.0.1:8222"
max_payload: 1MB

jetstream {{
  store_dir: "/var/lib/nats/jetstream"
  # Acknowledged means written, and every two minutes synced. `always` survives a power cut of every server at
  # once, at a third of the rate. Muster repairs what such a cut takes either way: docs/architecture.md,
  # promise 9.
  # sync_interval: always
}}

# Several servers: give each its own server_name and list all of them. Accounts that are pushed reach all.
# MUSTER_NATS_REPLICAS=3 of the centre keeps three copies of each stream: see deploy/nats/nats.conf.
# server_name: nats-1
# cluster {{
#   name: muster
#   port: 6222
#   routes: ["nats://nats-1:6222", "nats://nats-2:6222", "nats://nats-3:6222"]
# }}

# Agents come from outside: let them in by TLS only.
# tls {{
#   cert_file: "/etc/nats/tls/tls.crt"
#   key_file: "/etc/nats/tls/tls.key"
# }}
"""


def init_nats(folder: Path, prefix: str, issued_at: int) -> list[Path]:
    """Keys and configuration for a NATS that Muster does not run. Returns the paths that were written.

    `keys/` is the centre's (MUSTER_KEYS_DIR); the two `.conf` files are the server's and hold no secret.
    Raises BadKeys when the folder has keys, ValueError for a bad prefix.
    """
    subjects = Subjects(prefix)
    keys = init(folder / "keys")
    trust = folder / "muster-trust.conf"
    trust.write_text(Trust.of(keys, (subjects,), issued_at).stanza("/var/lib/nats/accounts"))
    server = folder / "nats-server.conf"
    server.write_text(EXTERNAL_CONFIGURATION.format(folder=folder))
    system = folder / "keys" / "system.creds"
    user = accounts.service_user_jwt(keys.system_account, keys.system_user, "pusher", issued_at)
    write_private(system, jwt.credentials(user, keys.system_user))
    return [*sorted((folder / "keys").iterdir()), trust, server]
