"""The bytes that a client has sent and that were not passed on; mostly the one object in which they came."""

cdef enum:
    KEPT_BYTES = 4096


cdef class RequestBuffer:
    """Bytes that have come; those before `pos` were passed on, and `total` are there.

    `p` is where they begin: in `chunk`, which was fed last, or, when more than one was, in `held`, memory of its own.
    """

    cdef bytes chunk
    cdef char* held
    cdef Py_ssize_t capacity
    cdef const char* p
    cdef Py_ssize_t total, pos

    def __dealloc__(self):
        free(self.held)

    @property
    def buffered(self):
        """Bytes held and not yet returned."""
        return self.total - self.pos

    cdef void clear(self) noexcept:
        self.chunk = None
        self.p = NULL
        self.total = self.pos = 0
        if self.capacity > KEPT_BYTES:
            free(self.held)
            self.held = NULL
            self.capacity = 0

    cdef bytes slice(self, Py_ssize_t start, Py_ssize_t end):
        return PyBytes_FromStringAndSize(self.p + start, end - start)

    cdef int reserve(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t wanted = self.capacity or 512
        if size <= self.capacity:
            return 0
        while wanted < size:
            wanted *= 2
        cdef char* grown = <char*>realloc(self.held, wanted)
        if grown == NULL:
            raise MemoryError()
        self.held = grown
        self.capacity = wanted
        return 0

    cdef Py_ssize_t append(self, bytes data) except -1:
        """Put `data` behind what is left, which begins at 0 afterwards; by how much it was shifted."""
        cdef Py_ssize_t left = self.total - self.pos, shift = self.pos, size = PyBytes_GET_SIZE(data)
        if left == 0:
            self.chunk = data
            self.p = PyBytes_AS_STRING(data)
            self.total = size
        else:
            self.reserve(left + size)
            if self.chunk is not None:
                memcpy(self.held, self.p + self.pos, left)
                self.chunk = None
            elif shift:
                memmove(self.held, self.held + shift, left)
            memcpy(self.held + left, PyBytes_AS_STRING(data), size)
            self.p = self.held
            self.total = left + size
        self.pos = 0
        return shift
