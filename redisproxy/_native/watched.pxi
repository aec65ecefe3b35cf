"""What the hub watches, and what can be asked of a connected socket."""


cdef class Watched:
    """What the hub watches: a descriptor and what of it is of interest."""

    cdef Hub hub
    cdef int fd
    cdef uint32_t interest

    cdef int ready(self, uint32_t events) except -1:
        return 0

    cdef void want(self, uint32_t interest) noexcept:
        """Watch for exactly this. With nothing of interest the descriptor is not watched at all: a peer that has gone is
        reported always, and would keep the reactor busy."""
        cdef epoll_event event
        cdef uint32_t before = self.interest
        if interest == before or self.fd < 0:
            return
        self.interest = interest
        event.events = interest
        event.data.ptr = <void*>self
        if not interest:
            epoll_ctl(self.hub.descriptor, EPOLL_CTL_DEL, self.fd, &event)
        else:
            epoll_ctl(self.hub.descriptor, EPOLL_CTL_MOD if before else EPOLL_CTL_ADD, self.fd, &event)

    cdef int release(self) except -1:
        """Have no descriptor any more; the one that there was, for the caller to close or to keep."""
        cdef int fd = self.fd
        self.want(0)
        self.fd = -1
        self.hub.live.pop(self, None)
        self.hub.dead.append(self)
        return fd


cdef class Socket(Watched):
    """A connected socket: its addresses and options, as Twisted's transports tell and set them."""

    def fileno(self):
        return self.fd

    def getHandle(self):
        """A socket object of its own on the same connection, for options; None when it is closed."""
        return None if self.fd < 0 else sockets.socket(fileno=os.dup(self.fd))

    def getPeer(self):
        """Part of ITransport."""
        return self.hub.address_of(self.fd, True)

    def getHost(self):
        """Part of ITransport."""
        return self.hub.address_of(self.fd, False)

    def setTcpNoDelay(self, enabled):
        cdef int on = 1 if enabled else 0
        setsockopt(self.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))

    def getTcpNoDelay(self):
        return True

    def setTcpKeepAlive(self, enabled):
        handle = self.getHandle()
        if handle is not None:
            handle.setsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, int(bool(enabled)))
            handle.close()
