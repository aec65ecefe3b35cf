"""Files that a configuration is read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trustme


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(data: Any = None, /, **changes: Any) -> str:
        base = {"uplink": {"addr": "localhost:6379"}, "listen": {"addr": "127.0.0.1:7010"}}
        path = tmp_path / "config.json"
        path.write_text(data if isinstance(data, str) else json.dumps({**base, **changes} if data is None else data))
        return str(path)

    return write


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    names = {key: str(tmp_path / f"{key}.pem") for key in ("certfile", "keyfile", "cacertfile")}
    made.cert_chain_pems[0].write_to_path(names["certfile"])
    made.private_key_pem.write_to_path(names["keyfile"])
    authority.cert_pem.write_to_path(names["cacertfile"])
    return names
