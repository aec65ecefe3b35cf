"""The compiled twin of C{forwarding.queue}: what an uplink connection has to send, and who waits for its replies."""

cdef enum:
    FEW = 16
    KEPT = 1024


@cython.final
cdef class Flow:
    """See C{queue.Flow}."""

    cdef public bint open, measures
    cdef public object clock, on_slow, on_sample
    cdef public long long slow_ns, opened_ns, until_sample
    cdef readonly CommandFigures figures
    cdef public Py_ssize_t in_flight
    cdef public long long commands, bytes_from_clients, bytes_to_clients
    cdef readonly dict unsent
    cdef public object on_read_only

    def __cinit__(self, families=None, bounds_ns=()):
        self.open = self.measures = True
        self.unsent = {}
        self.figures = CommandFigures(families or {}, bounds_ns)

    cdef long long read(self) except -1:
        if not self.measures:
            return 0
        return nanoseconds() if self.clock is None else self.clock()

    cpdef begun(self, Entry entry, bytes data, Py_ssize_t count, long long arrived_ns):
        """Commands of a client were submitted; see C{queue.Flow.begun}."""
        self.commands += count
        if not self.measures:
            return
        entry.families = self.figures.count_sent(data, count, &entry.family)
        entry.arrived_ns = arrived_ns
        if self.slow_ns:
            self.keep(entry, data, count)
        if self.until_sample:
            self.sample(entry, data, count)

    cdef inline int begun_run(self, Entry entry, bytes run, Py_ssize_t count, long long arrived_ns) except -1:
        """The same for what the framer has just made a run of."""
        self.commands += count
        if not self.measures:
            return 0
        if count == 1:
            entry.family = self.figures.count_alone(run)
        else:
            entry.families = self.figures.count_run(run, count, &entry.family)
        entry.arrived_ns = arrived_ns
        if self.slow_ns:
            self.keep(entry, run, count)
        if self.until_sample:
            self.sample(entry, run, count)
        return 0

    cdef int sample(self, Entry entry, bytes data, Py_ssize_t count) except -1:
        self.until_sample -= count
        if self.until_sample <= 0:
            self.on_sample(entry, data, count)
        return 0

    cdef inline int keep(self, Entry entry, bytes data, Py_ssize_t count) except -1:
        """Keep what the log of slow commands tells of them."""
        cdef bint all_of_it = PyBytes_GET_SIZE(data) <= KEPT * count
        entry.head = data if all_of_it else PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), KEPT)
        entry.count = count
        return 0

    def reopen(self):
        """The gate is open again."""
        self.open = True
        self.opened_ns = self.read()

    cpdef flush(self):
        """Send everything that is unsent, in order."""
        for queue in list(self.unsent):
            (<Queue>queue).flush()


@cython.final
@cython.freelist(256)
cdef class Entry:
    """See C{queue.Entry}."""

    cdef public object sink
    cdef public Py_ssize_t want
    cdef public bint counted, timed
    cdef public int family
    cdef public bytes families, head
    cdef public long long arrived_ns, sent_ns
    cdef public Py_ssize_t count, before, size
    cdef public object sized

    cdef Entry rest(self):
        """An entry for all but the next reply, which alone is left here."""
        cdef Entry rest = Entry.__new__(Entry)
        rest.sink = self.sink
        rest.want = self.want - 1
        rest.counted = self.counted
        rest.timed = self.timed
        rest.family = self.family
        rest.families = self.families
        rest.arrived_ns = self.arrived_ns
        rest.sent_ns = self.sent_ns
        rest.head = self.head
        rest.count = self.count
        if self.families is not None:
            self.family = family_at(self, 0)
            self.families = None
        self.count -= self.want - 1
        self.want = 1
        if self.sized is not None and self.before:
            rest.sized = self.sized
            rest.before = self.before - 1
            self.sized = None
        return rest


cdef inline int family_at(Entry entry, Py_ssize_t number) noexcept:
    """The family of the command whose reply comes after `number` others for this entry."""
    if entry.families is None:
        return entry.family
    return <unsigned char>PyBytes_AS_STRING(entry.families)[PyBytes_GET_SIZE(entry.families) - entry.want + number]


cdef struct Alike:
    # Replies that have come together, to commands of one family that arrived and left together: they took the same time.
    Py_ssize_t count
    long long arrived_ns, sent_ns, now
    int family


@cython.final
cdef class Queue:
    """See C{queue.Queue}."""

    cdef public bint ready, straight, pinned
    cdef object _transport, later, release
    cdef Hub hub
    cdef Flow flow
    cdef list waiting, out
    cdef Py_ssize_t first, fresh
    cdef ReplyScanner scanner
    cdef Alike alike

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
        entry.family = NOT_COUNTED
        self.waiting.append(entry)
        self.fresh += 1
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
        self.stamp()
        if isinstance(self._transport, Connection):
            (<Connection>self._transport).write(data)
        else:
            self._transport.write(data)

    cdef int stamp(self) except -1:
        """Note when the last entries leave."""
        cdef long long now = self.flow.read()
        cdef Py_ssize_t count = len(self.waiting), i = max(count - self.fresh, self.first)
        while i < count:
            (<Entry>self.waiting[i]).sent_ns = now
            i += 1
        self.fresh = 0
        return 0

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
        """Whether a reply to `client` has arrived in part; see C{queue.Queue.amid}."""
        cdef Entry head
        if not self.scanner.todo or len(self.waiting) == self.first:
            return False
        head = <Entry>self.waiting[self.first]
        if getattr(head.sink, "client", head.sink) is not client:
            return False
        if head.want > 1:
            self.waiting.insert(self.first + 1, head.rest())
        return True

    def clear(self):
        """Forget everything; who waited."""
        entries = self.waiting[self.first:]
        self.waiting = []
        self.first = self.fresh = 0
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
        """Pass `data` on as one whole reply; see C{queue.Queue.confirm}."""
        cdef Entry entry
        if len(self.waiting) == self.first:
            raise ProtocolError("bytes that belong to no request")
        entry = <Entry>self.waiting[self.first]
        entry.want -= 1
        entry.sized = None
        if not entry.want:
            self.shift()
        try:
            entry.sink.reply(data, 1)
        finally:
            if entry.counted:
                self.release(1)

    cpdef dispatch(self, bytes data):
        """Pass replies on to who waits for them; see C{queue.Queue.dispatch}."""
        cdef Py_ssize_t released = 0, position = 0, handled = 0, start, done, size = PyBytes_GET_SIZE(data)
        cdef long long now = 0
        cdef const char* p = PyBytes_AS_STRING(data)
        cdef Entry entry
        cdef bytes part
        try:
            while position < size:
                if len(self.waiting) == self.first:
                    raise ProtocolError("bytes that belong to no request")
                entry = <Entry>self.waiting[self.first]
                start = position
                if entry.sized is None:
                    done = self.pass_over(entry, p, size, &position, entry.want)
                else:
                    done = self.pass_over_sampled(entry, p, size, &position)
                if self.scanner.read_only:
                    self.read_only()
                if done:
                    if handled % FEW == 0:
                        now = self.flow.read()
                    handled += 1
                    self.measure(entry, done, now)
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
            if self.alike.count:
                self.count_alike()
            if released:
                if self.flow.open and self.flow.in_flight >= released:
                    self.flow.in_flight -= released
                else:
                    self.release(released)

    cdef Py_ssize_t pass_over_sampled(self, Entry entry, const char* p, Py_ssize_t size, Py_ssize_t* position) except -1:
        """The same up to the reply whose size is asked for, and then for that one."""
        cdef Py_ssize_t start = position[0]
        cdef Py_ssize_t done = self.pass_over(entry, p, size, position, entry.before or 1)
        if entry.before:
            entry.before -= done
            return done
        entry.size += position[0] - start
        if done:
            entry.sized(entry.size)
            entry.sized = None
        return done

    cdef Py_ssize_t pass_over(self, Entry entry, const char* p, Py_ssize_t size, Py_ssize_t* position,
                              Py_ssize_t most) except -1:
        """Pass over `most` replies for `entry`, and count errors among them: one by one if need be."""
        cdef ReplyScanner scanner = self.scanner
        cdef Py_ssize_t done = 0, some = 1
        if entry.families is None:
            done = scanner.pass_over(p, size, position, most)
            if scanner.errors:
                self.count_errors(entry.family)
            return done
        while some and done < most:
            some = scanner.pass_over(p, size, position, 1)
            if scanner.errors:
                self.count_errors(family_at(entry, done))
            done += some
        return done

    cdef int read_only(self) except -1:
        self.scanner.read_only = False
        if self.flow.on_read_only is not None:
            self.flow.on_read_only()
        return 0

    cdef void count_errors(self, int family) noexcept:
        if family != NOT_COUNTED:
            self.flow.figures.errors_of[family] += self.scanner.errors
        self.scanner.errors = 0

    cdef inline void measure(self, Entry entry, Py_ssize_t done, long long now) noexcept:
        """So many replies for `entry` are there."""
        cdef Alike* alike = &self.alike
        if (alike.count and entry.sent_ns == alike.sent_ns and entry.arrived_ns == alike.arrived_ns
                and entry.family == alike.family and now == alike.now and entry.families is None):
            alike.count += done
        else:
            self.measure_another(entry, done, now)

    cdef void count_alike(self) noexcept:
        cdef CommandFigures figures = self.flow.figures
        cdef Alike* alike = &self.alike
        cdef long long client_ns = max(alike.now - alike.arrived_ns, 0), uplink_ns = max(alike.now - alike.sent_ns, 0)
        cdef int client = figures.bucket(client_ns), uplink = figures.bucket(uplink_ns)
        figures.add_times(alike.family, alike.count, client_ns, client, uplink_ns, uplink)
        alike.count = 0

    cdef void measure_another(self, Entry entry, Py_ssize_t done, long long now) noexcept:
        """The same for an entry that is not like the one before it."""
        cdef CommandFigures figures = self.flow.figures
        cdef long long client_ns = now - entry.arrived_ns, uplink_ns = now - entry.sent_ns
        cdef int client, uplink
        cdef bint slow
        cdef Py_ssize_t i
        if not entry.arrived_ns or not entry.sent_ns:
            return
        if client_ns < 0:
            client_ns = 0
        if uplink_ns < 0:
            uplink_ns = 0
        slow = client_ns >= self.flow.slow_ns > 0
        if slow and entry.head is not None:
            # Who was held by a pause was not slow.
            if uplink_ns >= self.flow.slow_ns or entry.arrived_ns >= self.flow.opened_ns:
                self.flow.on_slow(entry, client_ns, uplink_ns)
        elif not slow and entry.families is None:
            if self.alike.count:
                self.count_alike()
            self.alike.count, self.alike.now, self.alike.family = done, now, entry.family
            self.alike.arrived_ns, self.alike.sent_ns = entry.arrived_ns, entry.sent_ns
            return
        client = figures.bucket(client_ns)
        uplink = figures.bucket(uplink_ns)
        if entry.families is None:
            figures.add_times(entry.family, done, client_ns, client, uplink_ns, uplink)
            return
        for i in range(done):
            figures.add_times(family_at(entry, i), 1, client_ns, client, uplink_ns, uplink)
