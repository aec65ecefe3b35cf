"""Transports that write at once and share one epoll descriptor, which is one reader of the Twisted reactor.

They stand behind Twisted's own interfaces: a Protocol gets C{makeConnection}, C{dataReceived}, C{readConnectionLost} and
C{connectionLost}, a transport has C{write}, C{pauseProducing}, C{registerProducer}, C{loseConnection} and the rest, with the
meaning they have on Twisted's transports. Everything is to be called in the reactor's thread.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, ECONNABORTED, EINPROGRESS, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

import os
import socket as sockets

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        void* ptr
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event*)
    int epoll_wait(int, epoll_event*, int, int)
    int EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLL_CLOEXEC

cdef extern from "sys/uio.h" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    cdef struct sockaddr:
        pass
    ctypedef uint32_t socklen_t
    cdef struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    cdef struct linger:
        int l_onoff
        int l_linger
    ssize_t recv(int, void*, size_t, int)
    ssize_t send(int, const void*, size_t, int)
    ssize_t sendmsg(int, const msghdr*, int)
    int accept4(int, sockaddr*, socklen_t*, int)
    int shutdown(int, int)
    int setsockopt(int, int, int, const void*, socklen_t)
    int getsockopt(int, int, int, void*, socklen_t*)
    int MSG_NOSIGNAL, SOCK_NONBLOCK, SOCK_CLOEXEC, SHUT_WR, SHUT_RDWR, SOL_SOCKET, SO_LINGER, SO_ERROR

cdef extern from "netinet/in.h" nogil:
    int IPPROTO_TCP
cdef extern from "netinet/tcp.h" nogil:
    int TCP_NODELAY
cdef extern from "unistd.h" nogil:
    int c_close "close"(int)
    int usleep(unsigned int)
cdef extern from "time.h" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int CLOCK_MONOTONIC
cdef extern from "string.h" nogil:
    void* memset(void*, int, size_t)

cdef enum:
    RECEIVE_BYTES = 262144
    BATCH = 256
    ACCEPTS = 64
    MOST_EVENTS = 1024  # in one turn
    LINGER_NS = 4000000  # for so long a turn may go on
    DEEP = 128  # so many waiting for their replies on one connection keep a server busy for longer than
    NAP_US = 100  # this
    IOVECS = 64
    HIGH_WATER = 65536

cdef char _received[RECEIVE_BYTES]


cdef long long nanoseconds() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <long long>now.tv_sec * 1000000000 + now.tv_nsec


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


cdef class Connection(Watched):
    """One transport.

    @ivar protocol: who gets what arrives.
    @ivar disconnecting: C{loseConnection} was called.
    """

    cdef public object protocol
    cdef object producer
    cdef list queue
    cdef Py_ssize_t offset, queued
    cdef readonly bint disconnecting, connected
    cdef bint producer_paused, half_closed, write_closed, reading, write_ending
    cdef bint connecting
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
        if self.connecting:
            return self.connect_ready()
        if events & EPOLLOUT:
            self.flush()
        if events & ~<uint32_t>EPOLLOUT and self.fd >= 0 and self.reading:
            self.receive()
        elif events & (EPOLLERR | EPOLLHUP) and self.fd >= 0 and not self.reading:
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
        self.stop_reading()
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

    cdef void stop_reading(self) noexcept:
        self.reading = False
        self.want(self.interest & ~<uint32_t>EPOLLIN)

    cpdef pauseProducing(self):
        """Part of IPushProducer: read no more for now."""
        self.stop_reading()

    cpdef resumeProducing(self):
        """Part of IPushProducer: read again."""
        if self.fd >= 0 and not self.disconnecting and not self.half_closed and not self.connecting:
            self.reading = True
            self.want(self.interest | EPOLLIN)
            if self.unread is not None:
                self.hub.end_of_turn(self.deliver_unread)

    def stopProducing(self):
        """Part of IPushProducer."""
        self.loseConnection()

    # -- writing

    cpdef write(self, bytes data):
        """Send now what the kernel takes, and the rest when it takes more."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef ssize_t sent
        if self.fd < 0 or self.write_closed or self.write_ending or self.connecting or not size:
            return
        if self.queue:
            self.enqueue(data, size)
            return
        sent = send(self.fd, PyBytes_AS_STRING(data), size, MSG_NOSIGNAL)
        if sent == size:
            return
        if sent < 0:
            if errno != EAGAIN and errno != EINTR:
                self.end_later(Failure(ConnectionLost(os.strerror(errno))))
                return
            sent = 0
        self.offset = sent
        self.queued = -sent
        self.enqueue(data, size)

    cdef int enqueue(self, bytes data, Py_ssize_t size) except -1:
        if self.queue is None:
            self.queue = []
        self.queue.append(data)
        self.queued += size
        self.want(self.interest | EPOLLOUT)
        if self.queued > HIGH_WATER and self.producer is not None and not self.producer_paused:
            self.producer_paused = True
            self.producer.pauseProducing()
        return 0

    def writeSequence(self, chunks):
        """Part of ITransport."""
        self.write(b"".join(chunks))

    cdef int flush(self) except -1:
        cdef iovec vectors[IOVECS]
        cdef msghdr message
        cdef int count = 0
        cdef ssize_t sent
        cdef bytes chunk
        if self.queue:
            for item in self.queue:
                chunk = <bytes>item
                vectors[count].iov_base = PyBytes_AS_STRING(chunk)
                vectors[count].iov_len = PyBytes_GET_SIZE(chunk)
                count += 1
                if count == IOVECS:
                    break
            vectors[0].iov_base = <char*>vectors[0].iov_base + self.offset
            vectors[0].iov_len -= self.offset
            memset(&message, 0, sizeof(message))
            message.msg_iov = vectors
            message.msg_iovlen = count
            sent = sendmsg(self.fd, &message, MSG_NOSIGNAL)
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.end(Failure(ConnectionLost(os.strerror(errno))))
                return 0
            self.took(sent)
            if self.queue:
                return 0
        self.drained()
        return 0

    cdef int took(self, Py_ssize_t sent) except -1:
        """Forget what was sent."""
        cdef Py_ssize_t whole = 0, size
        self.queued -= sent
        sent += self.offset
        for item in self.queue:
            size = PyBytes_GET_SIZE(<bytes>item)
            if sent < size:
                break
            sent -= size
            whole += 1
        del self.queue[:whole]
        self.offset = sent
        return 0

    cdef int drained(self) except -1:
        self.queue = None
        self.offset = self.queued = 0
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
        if self.disconnecting and not self.queue:
            self.end_later(Failure(ConnectionDone()))

    # -- the end

    cpdef loseConnection(self):
        """Close after what was written has left; read no more."""
        if self.fd < 0 or self.disconnecting:
            return
        self.disconnecting = True
        self.stop_reading()
        if not self.queue:
            self.end_later(Failure(ConnectionDone()))

    cpdef loseWriteConnection(self):
        """Half-close after what was written has left."""
        if self.fd < 0 or self.write_closed:
            return
        self.write_ending = True
        if not self.queue:
            self.shut_writing()

    cdef void shut_writing(self) noexcept:
        self.write_closed = True
        shutdown(self.fd, SHUT_WR)

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
        """Have no descriptor any more, and hold on to nobody."""
        self.want(0)
        self.fd = -1
        self.connected = False
        self.reading = False
        self.queue = None
        self.unread = None
        self.producer = None
        self.lane = None
        self.replies = None
        self.protocol = None
        self.hub.live.pop(self, None)
        self.hub.dead.append(self)
        return 0

    # -- a socket that leaves, and one that comes

    cdef str obstacle(self):
        """Why the socket can't be detached; None when it can."""
        if self.fd < 0 or self.connecting or self.protocol is None or self.reason is not None and not self.disconnecting:
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
        unsent = b"".join(self.queue)[self.offset:] if self.queue else b""
        detached = self.hub.detached(fd, self.unread or b"", unsent)
        self.forget()
        return detached

    def adopt(self, protocol, bytes unread, bytes unsent):
        """Go on with a socket that another transport has let go; see C{net.transports.Network}."""
        if unsent:
            self.enqueue(unsent, PyBytes_GET_SIZE(unsent))
        if unread:
            self.unread = unread
            self.hub.end_of_turn(self.deliver_unread)
        self.begin(protocol)

    # -- connecting

    cdef int connect_ready(self) except -1:
        cdef int error = 0
        cdef socklen_t size = sizeof(error)
        getsockopt(self.fd, SOL_SOCKET, SO_ERROR, &error, &size)
        waiting, self.protocol = self.protocol, None
        self.connecting = False
        if error:
            self.discard()
            waiting.errback(Failure(self.hub.connect_error(error)))
        else:
            self.want(0)
            waiting.callback(self)
        return 0

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

    cpdef wait_connected(self, deferred):
        """Fire `deferred` with this connection, or its error, when the kernel has connected it."""
        self.connecting = True
        self.protocol = deferred
        self.want(EPOLLOUT)

    # -- what else a transport has

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

    def logPrefix(self):
        return type(self.protocol).__name__


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
        cdef int fd = self.fd
        if fd >= 0:
            self.want(0)
            self.fd = -1
            c_close(fd)
            self.hub.live.pop(self, None)
            self.hub.dead.append(self)


cdef class Hub:
    """All connections and listeners on one epoll descriptor; an IReadDescriptor of the reactor.

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
    cdef bint running, waking
    cdef Py_ssize_t deepest
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
                for i in range(count):
                    # Whatever closes in this turn stays in `dead` until its end, so that the pointer is good.
                    (<Watched>events[i].data.ptr).ready(events[i].events)
                self.finish_turn()
                handled += count
                if handled >= MOST_EVENTS or nanoseconds() >= until:
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
