"""Content credentials, with certificates that the tests make."""

from __future__ import annotations

import datetime
import json
import zipfile
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from guda.cli import main
from guda.errors import EvidenceError
from guda.evidence import credentials

from .evidence_sample import contents, rewrite

DAY = datetime.timedelta(days=1)
USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def name(common: str) -> x509.Name:
    pairs = ((NameOID.ORGANIZATION_NAME, "Guild"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


def certificate(common, public, issuer, signing, *uses, days=30):
    """issuer: (name, public key); uses: of USES."""
    now = datetime.datetime.now(datetime.timezone.utc)
    authority = "key_cert_sign" in uses
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(name(issuer[0]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 60 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(x509.KeyUsage(**{u: u in uses for u in USES}), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1]), False)
    )
    if not authority:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usage, False)
    return builder.sign(signing, hashes.SHA256())


def pem(thing, password=b"") -> bytes:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    lock = serialization.BestAvailableEncryption(password) if password else None
    return thing.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        lock or serialization.NoEncryption(),
    )


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A guild that vouches for Anna, ES256; another one; and an old certificate of hers."""
    root = tmp_path_factory.mktemp("keys")
    guild, other, anna = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    by = ("The Guild", guild.public_key())
    files = {
        "guild": pem(certificate(*by, by, guild, "key_cert_sign", "crl_sign")),
        "other": pem(certificate("Other", other.public_key(), ("Other", other.public_key()), other,
                                 "key_cert_sign", "crl_sign")),
        "key": pem(anna),
        "locked": pem(anna, b"secret"),
        "stranger": pem(other),
        "curve": pem(ec.generate_private_key(ec.SECP256K1())),
        "nothing": b"what is this",
    }  # fmt: skip
    own = certificate("Anna", anna.public_key(), by, guild, "digital_signature")
    old = certificate("Anna", anna.public_key(), by, guild, "digital_signature", days=-30)
    files |= {"chain": pem(own) + files["guild"], "old": pem(old) + files["guild"]}
    for file, data in files.items():
        (root / f"{file}.pem").write_bytes(data)
    return SimpleNamespace(**{file: root / f"{file}.pem" for file in files})


@pytest.fixture(scope="module")
def signed(made, keys, tmp_path_factory):
    path = tmp_path_factory.mktemp("signed") / "b.zip"
    path.write_bytes(made.read_bytes())
    argv = ["sign", path, "--certificate", keys.chain, "--key", keys.key]
    assert main([str(a) for a in argv]) == 0
    return path


def state(path, capsys, *argv) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["verify", str(path), "--json", *map(str, argv)])
    return code, json.loads(capsys.readouterr().out)["signature"]["state"]


def test_a_signed_bundle_is_the_same_bundle(signed, made, capsys):
    files = contents(signed)
    del files["META-INF/content_credential.c2pa"]
    assert files == contents(made)
    assert state(signed, capsys) == (0, "valid") and state(made, capsys) == (0, "none")


def test_who_is_trusted_is_said_by_the_reader(signed, made, keys, capsys):
    assert state(signed, capsys, "--trust", keys.guild) == (0, "trusted")
    assert state(signed, capsys, "--trust", keys.other) == (1, "valid")
    assert state(made, capsys, "--trust", keys.guild) == (1, "none")
    assert main(["verify", str(signed), "--trust", str(keys.guild)]) == 0
    assert "Signature: of Anna (certificate of Guild)" in capsys.readouterr().out
    assert main(["verify", str(signed)]) == 0
    assert "somebody who says to be Anna" in capsys.readouterr().out


def test_what_was_changed_after_it_was_signed_is_told_even_with_a_new_list(
    signed, made, keys, tmp_path, capsys
):
    credential = "META-INF/content_credential.c2pa"
    files = contents(made)
    files["README.txt"] = files["README.txt"].replace(b"not", b"now")
    forged = rewrite(tmp_path / "forged.zip", files, sums=True)
    assert state(forged, capsys) == (0, "none")
    with zipfile.ZipFile(forged, "a") as file:
        file.writestr(credential, contents(signed)[credential])
    assert state(forged, capsys, "--trust", keys.guild) == (1, "invalid")
    assert "changed after it was signed" in str(credentials.read(forged))
    data = bytearray(signed.read_bytes())
    data[data.index(b"STYLE ATTRIBUTION")] ^= 1
    forged.write_bytes(data)
    assert state(forged, capsys) == (1, "invalid")


def test_a_file_that_was_added_is_told(signed, tmp_path, capsys):
    path = tmp_path / "more.zip"
    path.write_bytes(signed.read_bytes())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("more.txt", "x")
    assert state(path, capsys) == (1, "invalid")


def test_a_locked_key_needs_its_password(copy, keys, monkeypatch, capsys):
    argv = ["sign", str(copy), "--certificate", str(keys.chain), "--key", str(keys.locked)]
    assert main(argv) == 2 and "is locked" in capsys.readouterr().err
    monkeypatch.setenv("GUDA_KEY_PASSWORD", "wrong")
    assert main(argv) == 2 and "password is wrong" in capsys.readouterr().err
    monkeypatch.setenv("GUDA_KEY_PASSWORD", "secret")
    assert main(argv) == 0 and "secret" not in capsys.readouterr().out
    assert credentials.read(copy, keys.guild).state == "trusted"


@pytest.mark.parametrize(
    ("chain", "key", "words"),
    [
        ("chain", "stranger", "cannot be signed with"),
        ("old", "key", "cannot be signed with"),
        ("guild", "key", "cannot be signed with"),
        ("nothing", "key", "holds no certificate"),
        ("key", "key", "holds no certificate"),
        ("chain", "nothing", "no key in PEM"),
        ("chain", "curve", "do not take"),
    ],
)
def test_what_cannot_sign_is_refused_and_the_bundle_stays(chain, key, words, copy, keys, capsys):
    before = copy.read_bytes()
    paths = [str(getattr(keys, k)) for k in (chain, key)]
    assert main(["sign", str(copy), "--certificate", paths[0], "--key", paths[1]]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and words in said
    assert copy.read_bytes() == before and [p.name for p in copy.parent.iterdir()] == ["copy.zip"]


def test_only_whole_bundles_are_signed_and_once(signed, copy, keys):
    with pytest.raises(EvidenceError, match="signed already"):
        credentials.sign(signed, keys.chain, keys.key)
    rewrite(copy, contents(copy) | {"README.txt": b"other"})
    with pytest.raises(EvidenceError, match="not as it was made"):
        credentials.sign(copy, keys.chain, keys.key)


def test_ed25519_signs_too(copy, keys, tmp_path):
    guild = ec.generate_private_key(ec.SECP256R1())
    by, own = ("The Guild", guild.public_key()), ed25519.Ed25519PrivateKey.generate()
    chain = pem(certificate("Bo", own.public_key(), by, guild, "digital_signature"))
    chain += pem(certificate(*by, by, guild, "key_cert_sign", "crl_sign"))
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(pem(own))
    credentials.sign(copy, tmp_path / "chain.pem", tmp_path / "key.pem")
    assert credentials.read(copy).name == "Bo"


def test_without_the_package_the_remedy_is_named(signed, keys, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    assert state(signed, capsys) == (0, "not checked")
    assert main(["verify", str(signed), "--trust", str(keys.guild)]) == 2
    assert 'pip install "c2pa-python"' in capsys.readouterr().err
