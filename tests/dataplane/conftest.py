"""What logs failures is watched as in the room of the control plane."""

from tests.control.conftest import errors as errors
