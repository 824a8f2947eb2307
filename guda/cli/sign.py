"""python -m guda sign: content credentials for a bundle."""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from . import arguments
from .output import say

PASSWORD = "GUDA_KEY_PASSWORD"


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "sign", help="sign a bundle with a certificate of your own (C2PA content credentials)"
    )
    parser.add_argument("bundle", type=arguments.path, help="a ZIP that `guda evidence` made")
    parser.add_argument(
        "--certificate",
        type=arguments.path,
        required=True,
        help="PEM: your certificate, then those that vouch for it",
    )
    parser.add_argument(
        "--key",
        type=arguments.path,
        required=True,
        help="PEM: its private key; the password of a locked one is asked for, or read from "
        f"the variable {PASSWORD}",
    )
    parser.add_argument(
        "--timestamp",
        type=arguments.text,
        default="",
        metavar="URL",
        help="a time stamping authority, which is told the signature's hash and shows the time",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..evidence import credentials

    credentials.sign(args.bundle, args.certificate, args.key, _password(args), args.timestamp)
    say(f"{args.bundle} is signed: {credentials.read(args.bundle)}")
    return 0


def _password(args: argparse.Namespace) -> str:
    """The key's; never an argument, which every user of the machine can see."""
    if given := os.environ.get(PASSWORD):
        return given
    try:
        locked = b"ENCRYPTED" in args.key.read_bytes()[: 1 << 20]
    except OSError:
        return ""
    return getpass.getpass(f"Password of {args.key}: ") if locked and sys.stdin.isatty() else ""
