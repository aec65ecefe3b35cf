"""The compiled twin of C{lane}: the same interface, no Python between a client's bytes and the uplink's queue."""


cdef class Flow:
    """See C{lane.Flow}."""

    cdef public bint open
    cdef public Py_ssize_t in_flight
    cdef public long long commands, bytes_from_clients, bytes_to_clients
    cdef readonly dict unsent
    cdef public object on_read_only

    def __cinit__(self):
        self.open = True
        self.unsent = {}

    cpdef flush(self):
        """Send everything that is unsent, in order."""
        for queue in list(self.unsent):
            (<Queue>queue).flush()


@cython.freelist(256)
cdef class Entry:
    """See C{lane.Entry}."""

    cdef public object sink
    cdef public Py_ssize_t want
    cdef public bint counted, timed


cdef class Queue:
    """See C{lane.Queue}."""

    cdef public bint ready, straight, pinned
    cdef object _transport, later, release
    cdef Hub hub
    cdef Flow flow
    cdef list waiting, out
    cdef Py_ssize_t first
    cdef ReplyScanner scanner

    def __cinit__(self, end_of_turn, Flow flow, release):
        hub = getattr(end_of_turn, "__self__", None)
        self.hub = <Hub>hub if isinstance(hub, Hub) else None
        if self.hub is not None:
            self.hub.flow = flow
        self.later = end_of_turn
        self.flow = flow
        self.release = release
        self.straight = True
        self.waiting = []
        self.out = []
        self.scanner = ReplyScanner()

    def __len__(self):
        return self.depth()

    cdef Py_ssize_t depth(self) noexcept:
        return len(self.waiting) - self.first

    @property
    def transport(self):
        return self._transport

    @transport.setter
    def transport(self, value):
        self._transport = value
        if isinstance(value, Connection):
            (<Connection>value).replies = self

    cpdef Entry submit(self, sink, bytes data, Py_ssize_t count, bint counted=True, bint timed=True):
        """Send `data` at the end of this turn; its `count` replies are for `sink`."""
        cdef Entry entry = Entry.__new__(Entry)
        entry.sink = sink
        entry.want = count
        entry.counted = counted
        entry.timed = timed
        self.waiting.append(entry)
        self.send(data)
        return entry

    cpdef send(self, bytes data):
        """Send more of what was submitted."""
        if self.pinned:
            self.flush_before()
        if not self.out:
            self.flow.unsent[self] = None
            if self.hub is not None:
                self.hub.flush_later(self.flow)
            else:
                self.later(self.flow.flush)
        self.out.append(data)

    cdef int flush_before(self) except -1:
        """Have everything leave that would otherwise leave in the wrong order."""
        cdef dict unsent = self.flow.unsent
        if unsent and next(reversed(unsent)) is not self:
            self.flow.flush()
        return 0

    cpdef flush(self):
        """Write what was collected in this turn."""
        cdef list out = self.out
        cdef bytes data
        self.flow.unsent.pop(self, None)
        if not out or self._transport is None:
            out.clear()
            return
        data = <bytes>out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        if isinstance(self._transport, Connection):
            (<Connection>self._transport).write(data)
        else:
            self._transport.write(data)

    def head(self):
        """Who waits longest."""
        return self.waiting[self.first] if len(self.waiting) > self.first else None

    def tail(self):
        """Who came last."""
        return self.waiting[len(self.waiting) - 1] if len(self.waiting) > self.first else None

    def entries(self):
        """Everybody who waits, in order."""
        return self.waiting[self.first:]

    def amid(self, client):
        """Whether a reply to `client` has arrived in part; see C{lane.Queue.amid}."""
        cdef Entry head, rest
        if not self.scanner.todo or len(self.waiting) == self.first:
            return False
        head = <Entry>self.waiting[self.first]
        if getattr(head.sink, "client", head.sink) is not client:
            return False
        if head.want > 1:
            rest = Entry.__new__(Entry)
            rest.sink = head.sink
            rest.want = head.want - 1
            rest.counted = head.counted
            rest.timed = head.timed
            self.waiting.insert(self.first + 1, rest)
            head.want = 1
        return True

    def clear(self):
        """Forget everything; who waited."""
        entries = self.waiting[self.first:]
        self.waiting = []
        self.first = 0
        self.out = []
        self.flow.unsent.pop(self, None)
        return entries

    cdef void shift(self) noexcept:
        """The first one has everything."""
        self.waiting[self.first] = None
        self.first += 1
        if self.first == len(self.waiting):
            self.waiting.clear()
            self.first = 0
        elif self.first >= 1024 and self.first * 2 > len(self.waiting):
            del self.waiting[:self.first]
            self.first = 0

    cpdef confirm(self, bytes data):
        """Pass `data` on as one whole reply; see C{lane.Queue.confirm}."""
        cdef Entry entry
        if len(self.waiting) == self.first:
            raise ProtocolError("bytes that belong to no request")
        entry = <Entry>self.waiting[self.first]
        entry.want -= 1
        if not entry.want:
            self.shift()
        try:
            entry.sink.reply(data, 1)
        finally:
            if entry.counted:
                self.release(1)

    cpdef dispatch(self, bytes data):
        """Pass replies on to who waits for them; see C{lane.Queue.dispatch}."""
        cdef Py_ssize_t released = 0, position = 0, start, done, size = PyBytes_GET_SIZE(data)
        cdef const char* p = PyBytes_AS_STRING(data)
        cdef Entry entry
        cdef bytes part
        try:
            while position < size:
                if len(self.waiting) == self.first:
                    raise ProtocolError("bytes that belong to no request")
                entry = <Entry>self.waiting[self.first]
                start = position
                done = self.scanner.pass_over(p, size, &position, entry.want)
                if self.scanner.read_only:
                    self.scanner.read_only = False
                    if self.flow.on_read_only is not None:
                        self.flow.on_read_only()
                if done:
                    if entry.counted:
                        released += done
                    entry.want -= done
                    if not entry.want:
                        self.shift()
                part = data if start == 0 and position == size else PyBytes_FromStringAndSize(p + start, position - start)
                if type(entry.sink) is Lane:
                    (<Lane>entry.sink).reply(part, done)
                else:
                    entry.sink.reply(part, done)
        finally:
            if released:
                if self.flow.open and self.flow.in_flight >= released:
                    self.flow.in_flight -= released
                else:
                    self.release(released)


cdef class Lane:
    """See C{lane.Lane}. Nothing is ever left over here: the framer is asked for plain commands only."""

    cdef public object client
    cdef object _transport
    cdef Connection native
    cdef public Queue queue
    cdef public bint straight_out, active
    cdef public Py_ssize_t pending, limit, replies
    cdef public long long reply_bytes
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
        flow.commands += count
        self.pending += count
        queue.submit(self, run, count)
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
