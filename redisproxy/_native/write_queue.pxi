"""What a transport was told to send and the kernel has not taken yet."""

cdef enum:
    IOVECS = 64


cdef class WriteQueue:
    """Bytes in order; the first `offset` bytes of the first chunk have left.

    @ivar size: how many bytes wait.
    """

    cdef list chunks
    cdef Py_ssize_t offset, size

    def __cinit__(self):
        self.chunks = []

    cdef int add(self, bytes data, Py_ssize_t sent) except -1:
        """Put `data` at the end. Only what is put in first may have been sent in part."""
        self.chunks.append(data)
        self.size += PyBytes_GET_SIZE(data) - sent
        self.offset += sent
        return 0

    cdef bytes rest(self):
        """Everything that waits."""
        return b"".join(self.chunks)[self.offset:]

    cdef int send(self, int fd) except -1:
        """Send what the kernel takes now; the number of the error that it gives instead, or 0."""
        cdef iovec vectors[IOVECS]
        cdef msghdr message
        cdef int count = 0
        cdef ssize_t sent
        for item in self.chunks:
            vectors[count].iov_base = PyBytes_AS_STRING(<bytes>item)
            vectors[count].iov_len = PyBytes_GET_SIZE(<bytes>item)
            count += 1
            if count == IOVECS:
                break
        vectors[0].iov_base = <char*>vectors[0].iov_base + self.offset
        vectors[0].iov_len -= self.offset
        memset(&message, 0, sizeof(message))
        message.msg_iov = vectors
        message.msg_iovlen = count
        sent = sendmsg(fd, &message, MSG_NOSIGNAL)
        if sent < 0:
            return 0 if errno == EAGAIN or errno == EINTR else errno
        self.took(sent)
        return 0

    cdef int took(self, Py_ssize_t sent) except -1:
        """Forget what was sent."""
        cdef Py_ssize_t whole = 0, size
        self.size -= sent
        sent += self.offset
        for item in self.chunks:
            size = PyBytes_GET_SIZE(<bytes>item)
            if sent < size:
                break
            sent -= size
            whole += 1
        del self.chunks[:whole]
        self.offset = sent
        return 0
