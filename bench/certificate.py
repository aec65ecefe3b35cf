"""One throw-away certificate for every TLS listener of a run, and the TLS that all of them speak."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

TLS_VERSION = "TLSv1.3"
CIPHER_SUITE = "TLS_AES_256_GCM_SHA384"


@dataclass(frozen=True)
class Certificate:
    """Paths of PEM files. `both` is chain and key in one file, as HAProxy wants it."""

    chain: Path
    key: Path
    both: Path
    authority: Path


def make(folder: Path) -> Certificate:
    """Issue a certificate for localhost and 127.0.0.1, and write it into `folder`."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    made = Certificate(*(folder / name for name in ("cert.pem", "key.pem", "both.pem", "ca.pem")))
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    made.chain.write_bytes(chain)
    issued.private_key_pem.write_to_path(str(made.key))
    issued.private_key_and_cert_chain_pem.write_to_path(str(made.both))
    authority.cert_pem.write_to_path(str(made.authority))
    return made
