"""Where connections begin: a listening descriptor that accepts them, and one that is being connected."""

cdef enum:
    ACCEPTS = 64


cdef class Listener(Watched):
    """A listening descriptor.

    @ivar accepted: called with each new L{Connection}, an instance of `kind`.
    """

    cdef object accepted, kind
    cdef bint is_tcp

    def __cinit__(self, Hub hub, int fd, accepted, bint is_tcp, kind=Connection):
        self.hub = hub
        self.fd = fd
        self.accepted = accepted
        self.is_tcp = is_tcp
        self.kind = kind
        hub.live[self] = None
        self.want(EPOLLIN)

    cdef int ready(self, uint32_t events) except -1:
        cdef int count, fd, on = 1
        for count in range(ACCEPTS):
            if self.fd < 0:
                return 0
            fd = accept4(self.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                    self.rest(errno)
                if errno == EINTR or errno == ECONNABORTED:
                    continue
                return 0
            if self.is_tcp:
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
            try:
                self.accepted(self.kind(self.hub, fd))
            except Exception:
                self.hub.failed(Failure())
        return 0

    cdef int rest(self, int error) except -1:
        """No descriptor is free: accepting again at once would only burn time."""
        self.want(0)
        self.hub.out_of_descriptors(error, self)
        return 0

    def resume(self):
        """Accept again."""
        self.want(EPOLLIN)

    def close(self):
        """Listen no more."""
        if self.fd >= 0:
            c_close(self.release())


cdef class Dialer(Watched):
    """A descriptor that is being connected.

    @ivar waiting: a Deferred that fires with the transport, an instance of `kind`, or fails with the kernel's error.
    """

    cdef object kind, waiting

    def __cinit__(self, Hub hub, int fd, kind, waiting):
        self.hub = hub
        self.fd = fd
        self.kind = kind
        self.waiting = waiting
        hub.live[self] = None
        self.want(EPOLLOUT)

    cdef int ready(self, uint32_t events) except -1:
        cdef int fd, error = 0
        cdef socklen_t size = sizeof(error)
        if self.fd < 0:
            return 0
        getsockopt(self.fd, SOL_SOCKET, SO_ERROR, &error, &size)
        fd = self.release()
        waiting, self.waiting = self.waiting, None
        if error:
            c_close(fd)
            waiting.errback(Failure(self.hub.connect_error(error)))
        else:
            waiting.callback(self.kind(self.hub, fd))
        return 0

    def cancel(self):
        """Connect no more; nobody is told."""
        if self.fd >= 0:
            c_close(self.release())
            self.waiting = None
