"""The section C{limits}: bounds on how much clients may make the proxy hold in memory."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from redisproxy.config.section import Bytes, Count, Milliseconds, Section


class LimitSettings(Section):
    """Bounds on how much clients may make the proxy hold."""

    max_clients: Count = 10000
    max_raw_connections: Count = 1000
    max_failed_logins: Count = 10
    handshake_timeout_ms: Milliseconds = 30000
    max_held_request_bytes: Annotated[int, Field(ge=32768, le=1 << 30)] = 262144
    max_bulk_bytes: Bytes = 536870912
    max_in_flight_per_client: Count = 10000
    client_output_hard_bytes: Bytes = 67108864
    max_transaction_bytes: Bytes = 1048576
    max_transaction_commands: Count = 10000
    max_script_bytes: Bytes = 16777216
