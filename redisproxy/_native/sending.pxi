"""The half of a transport that writes: at once what the kernel takes, and the rest when it takes more."""

cdef enum:
    HIGH_WATER = 65536


cdef class Sender(Socket):
    """A connected socket that sends, and a producer that pauses while much waits.

    @ivar unsent: what waits; None when nothing does.
    @ivar disconnecting: C{loseConnection} was called.
    """

    cdef WriteQueue unsent
    cdef object producer
    cdef readonly bint disconnecting
    cdef bint producer_paused, write_closed, write_ending

    # L{Connection} says how it ends.

    cdef int end(self, reason) except -1:
        return 0

    cdef int end_later(self, reason) except -1:
        return 0

    cdef int crashed(self) except -1:
        return 0

    cpdef write(self, bytes data):
        """Send now what the kernel takes, and the rest when it takes more."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef ssize_t sent
        if self.fd < 0 or self.write_closed or self.write_ending or not size:
            return
        if self.unsent is not None:
            self.enqueue(data, 0)
            return
        sent = send(self.fd, PyBytes_AS_STRING(data), size, MSG_NOSIGNAL)
        if sent == size:
            return
        if sent < 0:
            if errno != EAGAIN and errno != EINTR:
                self.end_later(Failure(ConnectionLost(os.strerror(errno))))
                return
            sent = 0
        self.enqueue(data, sent)

    cdef int enqueue(self, bytes data, Py_ssize_t sent) except -1:
        if self.unsent is None:
            self.unsent = WriteQueue.__new__(WriteQueue)
        self.unsent.add(data, sent)
        self.want(self.interest | EPOLLOUT)
        if self.unsent.size > HIGH_WATER and self.producer is not None and not self.producer_paused:
            self.producer_paused = True
            self.producer.pauseProducing()
        return 0

    def writeSequence(self, chunks):
        """Part of ITransport."""
        self.write(b"".join(chunks))

    cdef int flush(self) except -1:
        cdef int error
        if self.unsent is not None:
            error = self.unsent.send(self.fd)
            if error:
                self.end(Failure(ConnectionLost(os.strerror(error))))
                return 0
            if self.unsent.size:
                return 0
        self.drained()
        return 0

    cdef int drained(self) except -1:
        self.unsent = None
        self.want(self.interest & ~<uint32_t>EPOLLOUT)
        if self.producer is not None and self.producer_paused:
            self.producer_paused = False
            try:
                self.producer.resumeProducing()
            except Exception:
                self.crashed()
        elif self.disconnecting:
            self.end(Failure(ConnectionDone()))
        elif self.write_ending:
            self.shut_writing()
        return 0

    cpdef registerProducer(self, producer, streaming):
        """Tell `producer` to pause when more than 64 KiB wait to be sent, and to resume when they have been."""
        if self.producer is not None:
            raise RuntimeError("there is a producer already")
        if self.fd < 0:
            producer.stopProducing()
            return
        self.producer = producer
        self.producer_paused = False

    cpdef unregisterProducer(self):
        """Tell nobody any more."""
        self.producer = None
        self.producer_paused = False
        if self.disconnecting and self.unsent is None:
            self.end_later(Failure(ConnectionDone()))

    cpdef loseWriteConnection(self):
        """Half-close after what was written has left."""
        if self.fd < 0 or self.write_closed:
            return
        self.write_ending = True
        if self.unsent is None:
            self.shut_writing()

    cdef void shut_writing(self) noexcept:
        self.write_closed = True
        shutdown(self.fd, SHUT_WR)
