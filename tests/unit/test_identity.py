"""Keys, JWTs, tokens, sealing and signatures, without a server."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.exceptions import BadSignatureError
from nacl.public import PrivateKey, SealedBox
from nacl.signing import VerifyKey

from controlplane.identity import accounts, jwt, keys
from controlplane.identity.nkey import KeyKind, NKey, check_public
from controlplane.identity.sealing import CannotOpen, MasterKey, seal_to_agent
from controlplane.identity.server_configuration import init_nats
from controlplane.identity.signing import OrderSigner
from controlplane.identity.tokens import BadToken, join_token, token_hash
from schemas.wire.orders import Verb, Version, signing_payload
from schemas.wire.subjects import Subjects

NOW = 1_800_000_000
ACCOUNT = accounts.ClusterAccount.from_random(b"a" * 32, b"s" * 32)
SUBJECTS = Subjects("muster")


class TestKeys:
    def test_what_was_made_is_read_back(self, tmp_path: Path) -> None:
        made = keys.init(tmp_path / "keys")
        assert keys.load(tmp_path / "keys") == made
        assert keys.load_or_init(tmp_path / "keys") == made

    def test_nobody_else_may_read_them(self, tmp_path: Path) -> None:
        keys.init(tmp_path / "keys")
        assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "keys").iterdir())

    def test_keys_are_never_overwritten(self, tmp_path: Path) -> None:
        keys.init(tmp_path)
        with pytest.raises(keys.BadKeys, match="never overwritten"):
            keys.init(tmp_path)

    @pytest.mark.parametrize(
        ("mode", "text", "named"),
        [
            pytest.param(0o644, None, "read by others", id="readable by others"),
            pytest.param(0o600, "rubbish", "damaged", id="not a key"),
            pytest.param(0o600, "abcd", "damaged", id="too short"),
        ],
    )
    @pytest.mark.parametrize("name", ["operator.nk", "master.key"])
    def test_a_bad_file_is_named(
        self, tmp_path: Path, name: str, mode: int, text: str | None, named: str
    ) -> None:
        keys.init(tmp_path)
        if text is not None:
            (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
        with pytest.raises(keys.BadKeys, match=named) as refusal:
            keys.load_or_init(tmp_path)
        assert name in str(refusal.value)

    def test_a_missing_file_is_named_and_not_made_anew(self, tmp_path: Path) -> None:
        keys.init(tmp_path)
        (tmp_path / "master.key").unlink()
        with pytest.raises(keys.BadKeys, match=r"master\.key: No such file"):
            keys.load_or_init(tmp_path)

    def test_no_key_shows_itself(self) -> None:
        own = keys.generate()
        shown = repr(own) + repr(own.operator)
        for field in fields(own):
            value = getattr(own, field.name)
            secret = value.seed if isinstance(value, NKey) else value.hex()
            assert secret not in shown

    def test_a_folder_for_a_nats_outside_holds_no_secret_beside_the_keys(self, tmp_path: Path) -> None:
        written = init_nats(tmp_path, "muster", NOW)
        own = keys.load(tmp_path / "keys")
        public = [path for path in written if path.suffix == ".conf"]
        assert len(public) == 2
        for path in public:
            assert own.operator.seed not in path.read_text()
            assert own.system_user.seed not in path.read_text()


class TestNKey:
    @given(st.binary(min_size=32, max_size=32), st.sampled_from(KeyKind))
    def test_seed_and_public_key_belong_together(self, raw: bytes, kind: KeyKind) -> None:
        key = NKey.from_random(kind, raw)
        assert NKey.from_seed(key.seed) == key
        assert check_public(kind, key.public) == key.public

    @pytest.mark.parametrize(
        "presented",
        [
            pytest.param("", id="nothing"),
            pytest.param(NKey.from_random(KeyKind.ACCOUNT, b"x" * 32).public, id="of an account"),
            pytest.param(NKey.from_random(KeyKind.USER, b"x" * 32).seed, id="a seed"),
            pytest.param(NKey.from_random(KeyKind.USER, b"x" * 32).public[:-1] + "A", id="a wrong checksum"),
            pytest.param(NKey.from_random(KeyKind.USER, b"x" * 32).public + "\n", id="a line break behind"),
            pytest.param("U*" + "A" * 54, id="a wildcard"),
        ],
    )
    def test_what_is_no_users_key_is_refused(self, presented: str) -> None:
        with pytest.raises(ValueError, match="no public user nkey"):
            check_public(KeyKind.USER, presented)


class TestJwt:
    def test_signed_by_its_issuer(self) -> None:
        own = keys.generate()
        claims = jwt.decode(accounts.cluster_account_jwt(own, ACCOUNT, SUBJECTS, NOW))
        assert claims["iss"] == own.operator.public
        assert (claims["sub"], claims["iat"]) == (ACCOUNT.id, NOW)

    def test_a_changed_claim_is_seen(self) -> None:
        header, claims, signature = accounts.operator_jwt(keys.generate(), NOW).split(".")
        with pytest.raises(jwt.BadJwt):
            jwt.decode(f"{header}.{claims[:-2]}AA.{signature}")

    @pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "....", "é.é.é"])
    def test_rubbish_is_refused(self, token: str) -> None:
        with pytest.raises(jwt.BadJwt):
            jwt.decode(token)

    def test_a_cluster_imports_only_what_bears_its_own_id(self) -> None:
        claims = jwt.decode(accounts.cluster_account_jwt(keys.generate(), ACCOUNT, SUBJECTS, NOW))
        imports = [entry["subject"] for entry in claims["nats"]["imports"]]
        assert len(imports) == 7
        assert all(ACCOUNT.id in subject.split(".") for subject in imports)

    def test_the_centre_exports_nothing_without_the_importers_id_in_it(self) -> None:
        claims = jwt.decode(accounts.centre_account_jwt(keys.generate(), (SUBJECTS,), NOW))
        for export in claims["nats"]["exports"]:
            tokens = export["subject"].split(".")
            assert tokens[export["account_token_position"] - 1] == "*"
            assert tokens.count("*") == 1
            assert export["type"] == "service"

    def test_one_that_is_cut_off_imports_nothing(self) -> None:
        claims = jwt.decode(accounts.cut_off_account_jwt(keys.generate(), ACCOUNT.id, NOW))
        assert "imports" not in claims["nats"]
        assert claims["nats"]["revocations"] == {"*": NOW}


class TestTokens:
    def test_the_hash_finds_it_and_does_not_give_it_away(self) -> None:
        token = join_token(b"r" * 32)
        assert token_hash(f" {token.text}\n") == token.hash
        assert token.text not in repr(token)

    @pytest.mark.parametrize("presented", ["", "mj1_", "mj1_" + "a" * 42, "Bearer x", "mj1_" + "ä" * 43])
    def test_what_is_no_token_is_refused_without_an_echo(self, presented: str) -> None:
        with pytest.raises(BadToken) as refusal:
            token_hash(presented)
        assert not presented or presented == "mj1_" or presented not in str(refusal.value)


class TestSealing:
    @given(st.binary(max_size=2000))
    def test_only_the_agent_reads_what_is_sealed_to_it(self, value: bytes) -> None:
        agent, other = PrivateKey.generate(), PrivateKey.generate()
        sealed = seal_to_agent(bytes(agent.public_key), value)
        assert SealedBox(agent).decrypt(sealed) == value
        with pytest.raises(Exception, match="decrypt"):
            SealedBox(other).decrypt(sealed)

    @given(st.text(max_size=50), st.binary(max_size=500))
    def test_the_database_gives_back_what_was_sealed(self, purpose: str, value: bytes) -> None:
        master = MasterKey(b"m" * 32)
        assert master.open(purpose, master.seal(purpose, value)) == value

    @pytest.mark.parametrize(
        ("purpose", "key", "change"),
        [
            pytest.param("account B", b"m" * 32, 0, id="moved to another row"),
            pytest.param("account", b"m" * 32, 0, id="a purpose that begins alike"),
            pytest.param("account A", b"n" * 32, 0, id="another master key"),
            pytest.param("account A", b"m" * 32, 1, id="one bit changed"),
        ],
    )
    def test_nothing_else_opens_it(self, purpose: str, key: bytes, change: int) -> None:
        sealed = bytearray(MasterKey(b"m" * 32).seal("account A", b"seed"))
        sealed[-1] ^= change
        with pytest.raises(CannotOpen):
            MasterKey(key).open(purpose, bytes(sealed))


class TestOrderSignatures:
    ORDER = ("CLUSTER", "workload", Verb.APPLY, Version(3, 7), b"body")

    def test_the_agents_key_verifies(self) -> None:
        signer = OrderSigner(b"k" * 32)
        VerifyKey(signer.verifying_key).verify(signing_payload(*self.ORDER), signer.sign(*self.ORDER))

    @pytest.mark.promise(5)
    @pytest.mark.parametrize(
        "order",
        [
            pytest.param(("OTHER", "workload", Verb.APPLY, Version(3, 7), b"body"), id="another cluster"),
            pytest.param(("CLUSTER", "workloads", Verb.APPLY, Version(3, 7), b"body"), id="another workload"),
            pytest.param(("CLUSTER", "workload", Verb.WITHDRAW, Version(3, 7), b"body"), id="another verb"),
            pytest.param(("CLUSTER", "workload", Verb.APPLY, Version(37, 0), b"body"), id="another version"),
            pytest.param(("CLUSTER", "workload", Verb.APPLY, Version(3, 7), b"body "), id="another body"),
        ],
    )
    def test_a_signature_holds_for_nothing_else(self, order: tuple[str, str, Verb, Version, bytes]) -> None:
        signer = OrderSigner(b"k" * 32)
        with pytest.raises(BadSignatureError):
            VerifyKey(signer.verifying_key).verify(signing_payload(*order), signer.sign(*self.ORDER))
