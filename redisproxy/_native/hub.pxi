"""One epoll descriptor for all transports, which is one reader of the Twisted reactor, and what comes at the end of a turn.

Everything here and in the transports is to be called in the reactor's thread.
"""

cdef enum:
    BATCH = 256
    MOST_EVENTS = 1024  # in one turn
    LINGER_NS = 4000000  # for so long a turn may go on
    DEEP = 128  # so many waiting for their replies on one connection keep a server busy for longer than
    NAP_US = 100  # this


cdef class Hub:
    """All connections and listeners on one epoll descriptor; an IReadDescriptor of the reactor.

    @ivar flow: of the gate that holds the clients; None where there are no clients.
    @param schedule: C{schedule(call)} runs `call` soon, from the reactor.
    @param failed: called with the Failure of a protocol that raised.
    @param address_of: C{address_of(fd, peer)} gives an IAddress.
    @param out_of_descriptors: called with the error number and the L{Listener} that has to rest.
    @param connect_error: makes an exception of an error number.
    @param detached: C{detached(fd, unread, unsent)} makes what C{Connection.detach} returns.
    @param not_detachable: makes the exception that it raises of a text.
    """

    cdef int descriptor
    cdef dict live, calls
    cdef list dead, ending
    cdef dict flushing
    cdef Flow flow
    cdef bint running, waking
    cdef Py_ssize_t deepest
    cdef long long now  # when this look for events found what is handled
    cdef object schedule, failed, address_of, out_of_descriptors, connect_error, detached, not_detachable

    def __cinit__(self, schedule, failed, address_of, out_of_descriptors, connect_error, detached, not_detachable):
        self.descriptor = epoll_create1(EPOLL_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(errno, os.strerror(errno))
        self.live = {}
        self.calls = {}
        self.dead = []
        self.ending = []
        self.flushing = {}
        self.schedule = schedule
        self.failed = failed
        self.address_of = address_of
        self.out_of_descriptors = out_of_descriptors
        self.connect_error = connect_error
        self.detached = detached
        self.not_detachable = not_detachable

    def fileno(self):
        return self.descriptor

    def logPrefix(self):
        return "redisproxy transports"

    def connectionLost(self, reason):
        """Part of IReadDescriptor: the reactor gives its readers up when it ends."""

    def __len__(self):
        return len(self.live)

    def doRead(self):
        """Handle what is ready, then what was put off to the end of the turn."""
        cdef epoll_event events[BATCH]
        cdef int count, i, handled = 0, descriptor = self.descriptor
        cdef long long until = 0
        cdef bint nap
        self.running = True
        try:
            count = epoll_wait(descriptor, events, BATCH, 0)
            if count > 0:
                until = nanoseconds() + LINGER_NS
            while count > 0:
                self.now = nanoseconds()
                for i in range(count):
                    # Whatever closes in this turn stays in `dead` until its end, so that the pointer is good.
                    (<Watched>events[i].data.ptr).ready(events[i].events)
                self.finish_turn()
                handled += count
                if not self.lingers() or handled >= MOST_EVENTS or nanoseconds() >= until:
                    break
                # Where something has come, more mostly follows within microseconds: to wait for it here costs a fraction of
                # another way through the reactor, which has to wait for a moment. With many commands on their way nobody loses
                # by a nap: what becomes ready during it is handled, and sent on, together.
                descriptor = self.descriptor
                nap = self.deepest >= DEEP and count < BATCH // 2
                with nogil:
                    if nap:
                        usleep(NAP_US)
                    count = epoll_wait(descriptor, events, BATCH, 1)
            self.finish_turn()
        finally:
            self.running = False
        if self.put_off():
            self.wake()

    cdef bint lingers(self) noexcept:
        """Clients are served here. While they are held they wait for what the reactor does, and not it for them."""
        return self.flow is not None and self.flow.open

    cdef bint put_off(self) noexcept:
        """Something is left for the end of this turn."""
        return bool(self.flushing) or bool(self.calls) or bool(self.ending)

    cdef int finish_turn(self) except -1:
        cdef int rounds = 0
        while self.put_off() and rounds < 10:
            rounds += 1
            if self.flushing:
                self.flush_queues()
            if not self.calls and not self.ending:
                continue
            calls = self.calls
            self.calls = {}
            for call in calls:
                try:
                    call()
                except Exception:
                    self.failed(Failure())
            ending = self.ending
            self.ending = []
            for item in ending:
                (<Connection>item).end((<Connection>item).reason)
        if self.dead:
            self.dead.clear()
        return 0

    cdef int flush_queues(self) except -1:
        flushing = self.flushing
        self.flushing = {}
        self.deepest = 0
        for flow in flushing:
            for queue in list((<Flow>flow).unsent):
                self.deepest = max(self.deepest, (<Queue>queue).depth())
                try:
                    (<Queue>queue).flush()
                except Exception:
                    self.failed(Failure())
        return 0

    cdef int flush_later(self, flow) except -1:
        """Have this L{Flow} flushed at the end of the turn; as C{end_of_turn(flow.flush)}, without Python between."""
        self.flushing[flow] = None
        return self.wake()

    cpdef end_of_turn(self, call):
        """Run `call` once, after everything that arrived in this turn of the reactor has been handled."""
        self.calls[call] = None
        self.wake()

    cdef int wake(self) except -1:
        if not self.running and not self.waking:
            self.waking = True
            self.schedule(self.woken)
        return 0

    def woken(self):
        """The end of a turn in which nothing arrived here."""
        self.waking = False
        self.running = True
        self.now = nanoseconds()
        try:
            self.finish_turn()
        finally:
            self.running = False
        if self.put_off():
            self.wake()

    def close(self):
        """Give the epoll descriptor back."""
        if self.descriptor >= 0:
            c_close(self.descriptor)
            self.descriptor = -1
