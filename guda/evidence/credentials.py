"""C2PA content credentials over a whole bundle, with a certificate of the user's own.

The credentials lie in the ZIP (META-INF/content_credential.c2pa) and hold hashes of every file in
it, so any C2PA tool can check them. C2PA 2.x, "Embedding manifests into ZIP-based formats".
Needs the package c2pa-python, the extra [evidence]. Nothing is fetched but a time stamp, if asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EvidenceError, first_line
from ..files import write_atomically
from ..files.reading import TEXT, read_bytes
from ..version import __version__
from .archive import Archive
from .sums import check_sums

LABEL = "org.guda.evidence"
_ZIP = "zip"
_QUIET = {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True}
_KINDS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Credentials:
    """Who signed, and whether that can be relied on.

    state: "trusted" by the given authorities; "valid": whole, but signed by somebody whom none of
    them knows; "invalid": the bundle is not what was signed.
    """

    state: str
    name: str
    issuer: str
    time: str  # of a time stamp; "" without
    why: str  # it is not better

    def __str__(self) -> str:
        who = f"{self.name} (certificate of {self.issuer})"
        when = f", at {self.time} by a time stamp" if self.time else ", at a time that is not shown"
        if self.state == "invalid":
            return f"not that of this bundle ({self.why}): it was changed after it was signed."
        if self.state == "trusted":
            return f"of {who}{when}."
        return (
            f"by somebody who says to be {who}{when}. No authority that you trust vouches for it; "
            "give theirs by --trust."
        )


def sign(path: Path, certificate: Path, key: Path, password: str = "", stamp: str = "") -> None:
    """Sign a bundle, in place. Raises EvidenceError, and SaveError.

    certificate: PEM, the user's own first, then those that vouch for it. key: PEM, its private key.
    stamp: address of a time stamping authority (RFC 3161).
    """
    c2pa = _library()
    with Archive(path) as bundle:
        sums, signed = check_sums(bundle), bundle.signed
    if signed:
        raise EvidenceError(f"{path} is signed already; make the bundle again to sign it anew.")
    if not sums.good:
        raise EvidenceError(
            f"{path} is not as it was made (see `guda verify {path.name}`), so it should not be "
            "signed; make the bundle again."
        )
    chain = _read(certificate)
    kind, secret = _private(key, password)

    def write(temporary: Path) -> None:
        try:
            given = c2pa.C2paSignerInfo(kind, chain, secret, stamp or None)
            with (
                c2pa.Signer.from_info(given) as signer,
                c2pa.Builder(_claim(sums.name)) as builder,
                open(path, "rb") as source,
                open(temporary, "w+b") as target,
            ):
                builder.sign(signer, _ZIP, source, target)
        except c2pa.C2paError as error:
            raise EvidenceError(
                f"{path} cannot be signed with {certificate} ({first_line(error)}); give a "
                "certificate for content credentials (digital signature, no CA, in date) with "
                "those that vouch for it below it, and its own key."
            ) from None

    write_atomically(path, write)


def read(path: Path, anchors: Path | None = None) -> Credentials:
    """Of a signed bundle. anchors: PEM of the authorities to be trusted. Raises EvidenceError."""
    c2pa = _library()
    settings: dict[str, Any] = {"verify": _QUIET}
    if anchors is not None:
        settings["trust"] = {"trust_anchors": _read(anchors).decode("ascii", "replace")}
    with Archive(path) as bundle:
        name = check_sums(bundle).name
    try:
        with c2pa.Context.from_dict(settings) as context, open(path, "rb") as file:
            reader = c2pa.Reader(_ZIP, file, context=context)
            told = json.loads(reader.json())
            state = str(reader.get_validation_state()).lower()
    except (c2pa.C2paError, ValueError) as error:
        return Credentials("invalid", "?", "?", "", first_line(error))
    claim = told.get("manifests", {}).get(told.get("active_manifest"), {})
    named = [a["data"].get("sums") for a in claim.get("assertions", ()) if a["label"] == LABEL]
    signer = claim.get("signature_info", {})
    failures = told.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    why = ", ".join(dict.fromkeys(str(f.get("code")) for f in failures))
    if named != [name]:
        state, why = "invalid", "it is of another bundle"
    if state not in ("trusted", "valid"):
        state = "invalid"
    who, issuer, time = (str(signer.get(k) or "") for k in ("common_name", "issuer", "time"))
    return Credentials(state, who or "?", issuer or "?", time, why)


def _claim(name: str) -> dict[str, Any]:
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/dataDrivenMedia"
    made = {"action": "c2pa.created", "digitalSourceType": source}
    return {
        "claim_generator_info": [{"name": "GUDA", "version": __version__}],
        "title": "Style attribution: evidence",
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [made]}},
            {"label": LABEL, "data": {"sums": name}},
        ],
    }


def _library() -> Any:
    try:
        import c2pa
    except ImportError:
        raise EvidenceError(
            'c2pa is not installed, which content credentials need; pip install "c2pa-python".'
        ) from None
    return c2pa


def _read(path: Path) -> bytes:
    data = read_bytes(path, TEXT, EvidenceError)
    if b"-----BEGIN CERTIFICATE-----" not in data or b"\0" in data:
        raise EvidenceError(f"{path} holds no certificate; give PEM (-----BEGIN CERTIFICATE-----).")
    return data


def _private(path: Path, password: str) -> tuple[str, bytes]:
    """The algorithm that suits the key, and the key as PEM without a password."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    data = read_bytes(path, TEXT, EvidenceError)
    try:
        key = serialization.load_pem_private_key(data, password.encode() or None)
    except TypeError:
        what = "is not locked; leave the password out" if password else "is locked; give a password"
        raise EvidenceError(f"The key {path} {what}.") from None
    except Exception as error:  # of several kinds, by what is wrong
        said = "its password is wrong, or it is no key" if password else "it is no key in PEM"
        raise EvidenceError(f"The key {path} cannot be used: {said}; give another.") from error
    kind = "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else ""
    if isinstance(key, rsa.RSAPrivateKey):
        kind = "ps256"
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        kind = _KINDS.get(key.curve.name, "")
    if not kind:
        raise EvidenceError(
            f"The key {path} is of a kind that content credentials do not take; give one of an "
            "elliptic curve (P-256, P-384, P-521), Ed25519 or RSA."
        )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return kind, key.private_bytes(serialization.Encoding.PEM, form, plain)
