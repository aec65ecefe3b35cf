"""The compiled twin of C{lane}: the same interface, no Python between a client's bytes and the uplink's queue."""


@cython.final
cdef class Lane:
    """See C{lane.Lane}. Nothing is ever left over here: the framer is asked for plain commands only."""

    cdef public object client
    cdef object _transport
    cdef Connection native
    cdef public Queue queue
    cdef public bint straight_out, active
    cdef public Py_ssize_t pending, limit, replies
    cdef public long long reply_bytes, arrived_ns
    cdef RequestFramer framer
    cdef Flow flow

    def __cinit__(self, client, RequestFramer framer, Flow flow):
        self.client = client
        self.framer = framer
        self.flow = flow
        self.active = True

    @property
    def left_over(self):
        return None

    @property
    def transport(self):
        return self._transport

    @transport.setter
    def transport(self, value):
        self._transport = value
        self.native = <Connection>value if isinstance(value, Connection) else None
        if self.native is not None:
            self.native.lane = self

    cpdef bint take(self, bytes data) except -1:
        """Take what has arrived. True when all of it has gone its way; see C{lane.Lane.take}."""
        cdef Flow flow = self.flow
        cdef RequestFramer framer = self.framer
        cdef Queue queue = self.queue
        cdef Py_ssize_t count
        cdef bytes run
        self.active = True
        self.arrived_ns = flow.read() if self.native is None or flow.clock is not None else self.native.hub.now
        flow.bytes_from_clients += PyBytes_GET_SIZE(data)
        framer.feed(data)
        if queue is None or not queue.ready or not flow.open:
            return False
        count = framer.plain_run()
        if count <= 0:
            return count == 0
        run = framer.run_bytes
        framer.run_bytes = None
        flow.in_flight += count
        self.pending += count
        flow.begun_run(queue.submit(self, run, count), run, count, self.arrived_ns)
        return framer.total == framer.pos and self.pending <= self.limit

    cpdef reply(self, bytes data, Py_ssize_t done):
        """Part of C{ReplySink}."""
        self.pending -= done
        self.replies += done
        self.reply_bytes += PyBytes_GET_SIZE(data)
        if self.straight_out:
            self.flow.bytes_to_clients += PyBytes_GET_SIZE(data)
            if self.native is not None:
                self.native.write(data)
            else:
                self._transport.write(data)
        else:
            self.client.deliver(data, done)

    cpdef lost(self):
        """Part of C{ReplySink}."""
        self.client.lost()
