"""States of servers, as they say them of themselves."""

from __future__ import annotations

from typing import Any

from redisproxy.servers.state import ServerState

ID, OTHER_ID = "a" * 40, "b" * 40


def server(
    min_replicas: int = 0, databases: int | None = 16, max_lag: int | None = 10, tls_port: int = 0, **info: Any
) -> ServerState:
    fields = {"role": "master", "redis_version": "7.0.15", "master_replid": OTHER_ID, "run_id": "new"}
    texts = {name: str(value) for name, value in {**fields, **info}.items()}
    return ServerState(texts, databases=databases, min_replicas=min_replicas, max_lag=max_lag, tls_port=tls_port)


def old_server(**info: Any) -> ServerState:
    return server(**{"run_id": "old", "master_replid": ID, "used_memory": 1000, **info})


def replica(**info: Any) -> ServerState:
    fields: dict[str, Any] = {"role": "slave", "master_replid": ID, "master_host": "10.0.0.1", "master_port": 6379}
    return server(**{**fields, "master_link_status": "up", **info})
