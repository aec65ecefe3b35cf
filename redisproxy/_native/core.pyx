# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled module: framing, transports, TLS and the straight way of a plain command, in one, so that they call each other
without Python between them."""

cdef class Queue  # a hub writes what was collected in it
cdef class Lane  # a transport hands what arrives straight to the lane of its client

include "framing.pxi"
include "hub.pxi"
include "tls.pxi"
include "lane.pxi"
