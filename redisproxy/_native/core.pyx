# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled module: framing, transports, TLS and the straight way of a plain command, in one, so that they call each other
without Python between them."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

import os
import socket as sockets

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from redisproxy.resp import ProtocolError, split_command, split_inline
from redisproxy.resp.common import printable

cdef class Flow  # a hub lingers while the gate is open
cdef class Queue  # a hub writes what was collected in it
cdef class CommandFigures  # what is counted of commands
cdef class Lane  # a transport hands what arrives straight to the lane of its client

include "lengths.pxi"
include "parsing.pxi"
include "command_names.pxi"
include "request_buffer.pxi"
include "command_scanning.pxi"
include "request_framing.pxi"
include "reply_scanning.pxi"
include "system_calls.pxi"
include "watched.pxi"
include "hub.pxi"
include "write_queue.pxi"
include "sending.pxi"
include "connection.pxi"
include "opening.pxi"
include "tls.pxi"
include "command_figures.pxi"
include "queue.pxi"
include "lane.pxi"
