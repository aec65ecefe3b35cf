"""TLS on the compiled transports: records cost no Python.

Contexts, the handshake and verification are pyOpenSSL's and service-identity's. Once the handshake is over, OpenSSL's own
functions are called through their addresses, which the cffi library beneath pyOpenSSL tells. Bytes pass through OpenSSL's
memory BIOs, so that nothing that has arrived can hide from epoll.
"""

from libc.stdint cimport uintptr_t

from OpenSSL import SSL

ctypedef int (*_transfer)(void*, void*, int) noexcept nogil
ctypedef int (*_get_error)(void*, int) noexcept nogil
ctypedef int (*_on_ssl)(void*) noexcept nogil
ctypedef void (*_clear)() noexcept nogil

cdef _transfer ssl_read = NULL, ssl_write = NULL, bio_read = NULL, bio_write = NULL
cdef _get_error ssl_get_error = NULL
cdef _on_ssl ssl_shutdown = NULL
cdef _clear err_clear = NULL

cdef enum:
    SLICE = 16384
    SEALED_BYTES = 294912
    ERROR_WANT_READ = 2
    ERROR_ZERO_RETURN = 6

cdef char _opened[RECEIVE_BYTES + SLICE]
cdef char _sealed[SEALED_BYTES]


def bind_openssl(address):
    """Learn where OpenSSL's functions are.

    @param address: C{address(name)} gives a function's address as a number.
    """
    global ssl_read, ssl_write, bio_read, bio_write, ssl_get_error, ssl_shutdown, err_clear
    ssl_read = <_transfer><uintptr_t>address("SSL_read")
    ssl_write = <_transfer><uintptr_t>address("SSL_write")
    bio_read = <_transfer><uintptr_t>address("BIO_read")
    bio_write = <_transfer><uintptr_t>address("BIO_write")
    ssl_get_error = <_get_error><uintptr_t>address("SSL_get_error")
    ssl_shutdown = <_on_ssl><uintptr_t>address("SSL_shutdown")
    err_clear = <_clear><uintptr_t>address("ERR_clear_error")


cdef class TLSConnection(Connection):
    """A transport with TLS. Its protocol sees what any transport shows; what it writes before the end of the handshake
    waits for that."""

    cdef object tls, refused, waiting, deadline, handshakes
    cdef void* ssl
    cdef void* into
    cdef void* out
    cdef bint handshaking, lose_later
    cdef list early

    def __cinit__(self, Hub hub, int fd):
        # From the beginning: what a protocol writes in connectionMade must wait, and never leave in plain.
        self.handshaking = True

    def start_tls(self, tls, pointers, is_server, waiting, deadline, handshakes=None):
        """Begin the handshake.

        @param tls: the C{OpenSSL.SSL.Connection} on memory BIOs, which lives as long as this transport.
        @param pointers: addresses of its C{SSL*} and of its BIOs for what arrives and for what is to be sent.
        @param waiting: a Deferred that fires with this transport after the handshake, on the client's side.
        @param deadline: an IDelayedCall that is cancelled when the handshake is over.
        @param handshakes: counts what becomes of it; see C{figures.metrics.Handshakes}.
        """
        self.tls = tls
        self.ssl = <void*><uintptr_t>pointers[0]
        self.into = <void*><uintptr_t>pointers[1]
        self.out = <void*><uintptr_t>pointers[2]
        self.waiting = waiting
        self.deadline = deadline
        self.handshakes = handshakes
        if is_server:
            tls.set_accept_state()
        else:
            tls.set_connect_state()
        self.want(self.interest | EPOLLIN)
        self.shake()

    def failVerification(self, reason):
        """Called by the verification of the peer's name: the handshake must not succeed."""
        self.refused = reason

    def overdue(self):
        """The handshake has taken too long."""
        self.deadline = None
        if self.handshaking:
            self.abortConnection()

    cdef int shake(self) except -1:
        """Go on with the handshake as far as what has arrived allows."""
        if self.ssl == NULL:
            return 0
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            self.send_sealed()
            return 0
        except SSL.Error as error:
            self.send_sealed()
            self.end(self.refused or Failure(ConnectionLost("TLS handshake failed: %s" % describe(error))))
            return 0
        self.send_sealed()
        if self.refused is not None:
            self.end(self.refused)
            return 0
        if self.fd >= 0:
            self.shaken()
        return 0

    cdef int shaken(self) except -1:
        self.handshaking = False
        self.stop_deadline()
        if self.handshakes is not None:
            self.handshakes.done += 1
            self.handshakes = None
        if self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            self.want(self.interest & ~<uint32_t>EPOLLIN)
            if waiting.called:
                self.discard()
                return 0
            waiting.callback(self)
        early, self.early = self.early, None
        lose, self.lose_later = self.lose_later, False
        if early:
            self.write(b"".join(early))
        if lose:
            self.loseConnection()
        return 0

    cdef void stop_deadline(self) noexcept:
        deadline, self.deadline = self.deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    cdef int ready(self, uint32_t events) except -1:
        if self.fd < 0 or not self.handshaking:
            return Connection.ready(self, events)
        if events & EPOLLOUT:
            self.flush()
        if events & ~<uint32_t>EPOLLOUT and self.fd >= 0:
            self.receive()
        return 0

    cdef int receive(self) except -1:
        cdef ssize_t size = recv(self.fd, _received, RECEIVE_BYTES, 0)
        cdef Py_ssize_t at = 0, filled = 0, step
        cdef int got = 0
        if size <= 0:
            if size == 0:
                self.end(Failure(ConnectionLost("closed without TLS's close_notify")))
            elif errno != EAGAIN and errno != EINTR:
                self.end(Failure(ConnectionLost(os.strerror(errno))))
            return 0
        err_clear()
        while at < size and self.fd >= 0:
            # By slices, so that the BIO's memory, which never shrinks, stays small.
            step = size - at if size - at < SLICE else SLICE
            bio_write(self.into, _received + at, <int>step)
            at += step
            if self.handshaking:
                self.shake()
                if self.handshaking or self.fd < 0:
                    continue
            got = 1
            while got > 0:
                got = ssl_read(self.ssl, _opened + filled, <int>(sizeof(_opened) - filled))
                if got > 0:
                    filled += got
        if self.fd < 0 or self.handshaking:
            return 0
        cdef int error = ssl_get_error(self.ssl, got) if got <= 0 and at else ERROR_WANT_READ
        err_clear()
        self.send_sealed()
        if filled:
            self.deliver(_opened, filled)
        if self.fd >= 0 and error != ERROR_WANT_READ:
            self.end(Failure(ConnectionDone() if error == ERROR_ZERO_RETURN else ConnectionLost("TLS error")))
        return 0

    cpdef write(self, bytes data):
        """Seal and send; see L{Connection.write}."""
        cdef Py_ssize_t at = 0, size = PyBytes_GET_SIZE(data), step, filled = 0
        cdef const char* p = PyBytes_AS_STRING(data)
        cdef int got
        if self.fd < 0 or self.write_closed or not size or self.lose_later or self.disconnecting:
            return
        if self.handshaking:
            if self.early is None:
                self.early = []
            self.early.append(data)
            return
        err_clear()
        while at < size:
            step = size - at if size - at < SLICE else SLICE
            if ssl_write(self.ssl, p + at, <int>step) <= 0:
                err_clear()
                self.end_later(Failure(ConnectionLost("TLS error")))
                return
            at += step
            got = bio_read(self.out, _sealed + filled, <int>(SEALED_BYTES - filled))
            if got > 0:
                filled += got
            if filled > SEALED_BYTES - 2 * SLICE:
                self.pass_on(filled)
                filled = 0
        if filled:
            self.pass_on(filled)

    cdef int send_sealed(self) except -1:
        """Send what OpenSSL has to say by itself: handshake, alerts, close_notify."""
        cdef int got = bio_read(self.out, _sealed, SEALED_BYTES)
        if got > 0 and self.fd >= 0:
            self.pass_on(got)
        return 0

    cdef int pass_on(self, Py_ssize_t size) except -1:
        """Send `size` sealed bytes, and queue what the kernel does not take."""
        cdef ssize_t sent = 0
        if self.fd < 0 or self.write_closed:
            return 0
        if self.unsent is None:
            sent = send(self.fd, _sealed, size, MSG_NOSIGNAL)
            if sent == size:
                return 0
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.end_later(Failure(ConnectionLost(os.strerror(errno))))
                    return 0
                sent = 0
        self.enqueue(PyBytes_FromStringAndSize(_sealed + sent, size - sent), 0)
        return 0

    cpdef resumeProducing(self):
        """Part of IPushProducer: read again."""
        if self.handshaking:
            self.reading = True
        else:
            Connection.resumeProducing(self)

    cpdef loseConnection(self):
        """Close after what was written has left, with TLS's close_notify."""
        if self.fd < 0 or self.disconnecting:
            return
        if self.handshaking:
            self.lose_later = True
            return
        err_clear()
        ssl_shutdown(self.ssl)
        err_clear()
        self.send_sealed()
        Connection.loseConnection(self)

    cpdef loseWriteConnection(self):
        """TLS has no half-close: close."""
        self.loseConnection()

    cdef str obstacle(self):
        return "its TLS keys lie in OpenSSL's memory and can't be passed on"

    cpdef begin(self, protocol):
        """Give the connection to `protocol`; on the server's side the handshake is still to come."""
        self.protocol = protocol
        self.reading = True
        self.want(self.interest | EPOLLIN)
        try:
            protocol.makeConnection(self)
        except Exception:
            self.crashed()

    cdef int end(self, reason) except -1:
        self.stop_deadline()
        if self.handshakes is not None:
            self.handshakes.failed += 1
            self.handshakes = None
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            self.discard()
            if not waiting.called:
                waiting.errback(reason)
            return 0
        return Connection.end(self, reason)


def describe(error):
    """What OpenSSL says of an error, in one line."""
    reasons = [item[2] for item in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(reason for reason in reasons if reason) or type(error).__name__
