"""A transport: what arrives goes to its protocol, and at the end the protocol is told, once.

Transports stand behind Twisted's own interfaces: a Protocol gets C{makeConnection}, C{dataReceived}, C{readConnectionLost} and
C{connectionLost}, a transport has C{write}, C{pauseProducing}, C{registerProducer}, C{loseConnection} and the rest, with the
meaning they have on Twisted's transports.
"""

cdef enum:
    RECEIVE_BYTES = 262144

cdef char _received[RECEIVE_BYTES]


cdef class Connection(Sender):
    """One transport.

    @ivar protocol: who gets what arrives.
    """

    cdef public object protocol
    cdef readonly bint connected
    cdef bint half_closed, reading
    cdef object reason
    cdef bytes unread
    cdef Lane lane
    cdef Queue replies

    def __cinit__(self, Hub hub, int fd):
        self.hub = hub
        self.fd = fd
        self.connected = True
        hub.live[self] = None

    # -- reading

    cdef int ready(self, uint32_t events) except -1:
        if self.fd < 0:
            return 0
        if events & EPOLLOUT:
            self.flush()
        if not events & ~<uint32_t>EPOLLOUT or self.fd < 0:
            return 0
        if self.reading:
            self.receive()
        elif self.interest & EPOLLIN:
            self.want(self.interest & ~<uint32_t>EPOLLIN)
        elif events & (EPOLLERR | EPOLLHUP):
            self.end(Failure(ConnectionLost()))
        return 0

    cdef int receive(self) except -1:
        cdef ssize_t size
        if self.unread is not None:
            self.deliver_unread()
            return 0
        size = recv(self.fd, _received, RECEIVE_BYTES, 0)
        if size > 0:
            self.deliver(_received, size)
        elif size == 0:
            self.end_of_input()
        elif errno != EAGAIN and errno != EINTR:
            self.end(Failure(ConnectionLost(os.strerror(errno))))
        return 0

    cdef int deliver(self, const char* data, Py_ssize_t size) except -1:
        cdef Queue replies = self.replies
        try:
            if replies is not None and replies.straight:
                try:
                    replies.dispatch(PyBytes_FromStringAndSize(data, size))
                except ProtocolError as error:
                    self.protocol.broke_protocol(error)
                if not replies.straight:
                    self.protocol.close_if_done()
            elif self.lane is None:
                self.protocol.dataReceived(PyBytes_FromStringAndSize(data, size))
            elif not self.lane.take(PyBytes_FromStringAndSize(data, size)):
                self.lane.client.look()
        except Exception:
            self.crashed()
        return 0

    cpdef deliver_unread(self):
        """Deliver what an adopted socket was detached with, unless the protocol does not want it now."""
        cdef bytes data = self.unread
        if data is not None and self.reading:
            self.unread = None
            self.deliver(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int end_of_input(self) except -1:
        if not hasattr(self.protocol, "readConnectionLost"):
            self.end(Failure(ConnectionDone()))
            return 0
        self.half_closed = True
        self.reading = False
        try:
            self.protocol.readConnectionLost()
        except Exception:
            self.crashed()
        return 0

    cdef int crashed(self) except -1:
        failure = Failure()
        self.hub.failed(failure)
        if self.fd >= 0:
            self.end(failure)
        return 0

    cpdef pauseProducing(self):
        """Part of IPushProducer: read no more for now.

        The descriptor stays watched until something comes: what comes just before reading is resumed keeps its place among
        what others have sent, and who resumes before anything comes has cost no system call.
        """
        self.reading = False

    cpdef resumeProducing(self):
        """Part of IPushProducer: read again."""
        if self.fd >= 0 and not self.disconnecting and not self.half_closed:
            self.reading = True
            self.want(self.interest | EPOLLIN)
            if self.unread is not None:
                self.hub.end_of_turn(self.deliver_unread)

    def stopProducing(self):
        """Part of IPushProducer."""
        self.loseConnection()

    # -- the end

    cpdef loseConnection(self):
        """Close after what was written has left; read no more."""
        if self.fd < 0 or self.disconnecting:
            return
        self.disconnecting = True
        self.reading = False
        if self.unsent is None:
            self.end_later(Failure(ConnectionDone()))

    cpdef abortConnection(self):
        """Close at once; the peer sees a reset."""
        cdef linger now
        if self.fd < 0:
            return
        self.disconnecting = True
        self.reading = False
        self.write_closed = True
        self.want(0)
        now.l_onoff = 1
        now.l_linger = 0
        setsockopt(self.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now))
        self.end_later(Failure(ConnectionAborted()))

    cdef int end_later(self, reason) except -1:
        if self.reason is None:
            self.reason = reason
            self.hub.ending.append(self)
            self.hub.wake()
        return 0

    cdef int end(self, reason) except -1:
        """The connection is over: close the descriptor and tell the protocol, once."""
        cdef int fd = self.fd
        if fd < 0:
            return 0
        protocol = self.protocol
        self.forget()
        if not self.write_closed:
            shutdown(fd, SHUT_RDWR)
        c_close(fd)
        try:
            protocol.connectionLost(reason)
        except Exception:
            self.hub.failed(Failure())
        return 0

    cdef int forget(self) except -1:
        """Have no descriptor any more, and hold on to nobody; the descriptor that there was."""
        cdef int fd = self.release()
        self.connected = False
        self.reading = False
        self.unsent = None
        self.unread = None
        self.producer = None
        self.lane = None
        self.replies = None
        self.protocol = None
        return fd

    # -- a socket that leaves, and one that comes

    cdef str obstacle(self):
        """Why the socket can't be detached; None when it can."""
        if self.fd < 0 or self.protocol is None or self.reason is not None and not self.disconnecting:
            return "the connection is lost"
        return "the connection is closing" if self.disconnecting or self.write_ending or self.write_closed else None

    @property
    def detachable(self):
        """Whether C{detach} would return."""
        return self.obstacle() is None

    def detach(self):
        """Let the socket go; see C{net.detached.Detachable}."""
        cdef str obstacle = self.obstacle()
        cdef int fd = self.fd
        if obstacle is not None:
            raise self.hub.not_detachable(obstacle)
        unsent = b"" if self.unsent is None else self.unsent.rest()
        detached = self.hub.detached(fd, self.unread or b"", unsent)
        self.forget()
        return detached

    def adopt(self, protocol, bytes unread, bytes unsent):
        """Go on with a socket that another transport has let go; see C{net.network.Network}."""
        if unsent:
            self.enqueue(unsent, 0)
        if unread:
            self.unread = unread
            self.hub.end_of_turn(self.deliver_unread)
        self.begin(protocol)

    cpdef discard(self):
        """Give up a connection that never had a protocol."""
        cdef int fd = self.fd
        if fd >= 0:
            self.forget()
            c_close(fd)

    cpdef begin(self, protocol):
        """Give the connection to `protocol` and read."""
        self.protocol = protocol
        self.reading = True
        self.want(self.interest | EPOLLIN)
        try:
            protocol.makeConnection(self)
        except Exception:
            self.crashed()

    def logPrefix(self):
        return type(self.protocol).__name__
