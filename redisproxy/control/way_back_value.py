"""The way back as a plain value, secrets included: so it passes to the process that takes this one's place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from redisproxy.config import UplinkSettings
from redisproxy.switchover.preflight import Source
from redisproxy.switchover.replica_setup import ReplicaSetup
from redisproxy.switchover.way_back import WayBack

if TYPE_CHECKING:
    from collections.abc import Mapping

Known = tuple[UplinkSettings, UplinkSettings, WayBack]
"""The server before, the one that was gone to, and whether the first follows the second."""


def to_value(before: UplinkSettings, after: UplinkSettings, way: WayBack) -> dict[str, Any]:
    """A tree of dictionaries, texts and numbers."""
    source = way.source
    return {
        "before": _plain(before),
        "after": _plain(after),
        "why_not": way.why_not,
        "source": None if source is None else [source.host, source.port, source.tls],
        "settings_before": None if way.setup is None else dict(way.setup.before),
        "left": way.left,
        "found": way.found,
    }


def from_value(value: Mapping[str, Any]) -> Known | None:
    """The reverse of L{to_value}; None if it is nothing of the kind: another version may have made it."""
    try:
        source = None if value["source"] is None else Source(*value["source"])
        setup = None
        if source is not None and value["settings_before"] is not None:
            setup = ReplicaSetup(
                source, None, None, {str(name): str(was) for name, was in value["settings_before"].items()}
            )
        way = WayBack(str(value["why_not"]), source, setup, left=str(value["left"]), found=bool(value["found"]))
        return _uplink(value["before"]), _uplink(value["after"]), way
    except (KeyError, TypeError, AttributeError, ValidationError):
        return None


def _plain(uplink: UplinkSettings) -> Any:
    return json.loads(json.dumps(uplink.model_dump(by_alias=True, exclude_unset=True), default=_secret))


def _secret(value: SecretStr) -> str:
    return value.get_secret_value()


def _uplink(value: Any) -> UplinkSettings:
    return UplinkSettings.model_validate_json(json.dumps(value))
