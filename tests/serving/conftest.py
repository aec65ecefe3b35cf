"""The fixtures are those of the client's room."""

from tests.client.conftest import client as client
from tests.client.conftest import nothing_is_logged as nothing_is_logged
