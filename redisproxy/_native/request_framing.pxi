"""The compiled twin of C{resp.RequestFramer}: the same interface, the same answers, no Python object for a plain command.

It cuts what has come into units: runs of plain commands, one command with its arguments, and pieces of a command that is too
large to hold. C{tests/resp/test_resp.py} runs on both.
"""

cdef enum:
    RUN = 0
    COMMAND = 1
    BEGIN = 2
    MORE = 3
    END = 4


cdef enum:
    MAX_NAMED = 16384  # commands in a run that `plain_run` makes


cdef struct Place:
    int offset, size


cdef Place _names[MAX_NAMED]  # where the names of the commands are in the run that was made last


@cython.final
cdef class RequestFramer(CommandScanner):
    """See C{resp.RequestFramer}."""

    cdef object _special
    cdef public Py_ssize_t max_run
    cdef Py_ssize_t skip
    cdef bint streaming
    cdef bytes run_bytes

    def __cinit__(self, special, *, Py_ssize_t max_held_bytes=262144, Py_ssize_t max_bulk_bytes=536870912,
                  Py_ssize_t max_inline_bytes=MAX_LINE, int max_args=2147483647):
        self.special = special
        self.authenticated = True
        self.max_run = 1 << 30
        self.max_held = max_held_bytes
        self.max_bulk = max_bulk_bytes
        self.max_inline = max_inline_bytes
        self.max_args = max_args
        self.begin()

    @property
    def special(self):
        return self._special

    @special.setter
    def special(self, value):
        if value is not self._special and not self.streaming:
            self.begin()  # the name of a command that has arrived in part is looked at again
        self._special = value
        self._names = None if value is None else names_of(value)

    @property
    def unread(self):
        """What is held and not yet returned; it stays."""
        return self.slice(self.pos, self.total)

    def take_buffer(self):
        """Hand over all bytes that were not returned."""
        cdef bytes data = self.slice(self.pos, self.total)
        self.clear()
        self.begin()
        return data

    cpdef next(self):
        """The next unit; None when more bytes are needed; see C{resp.RequestFramer.next}."""
        cdef Py_ssize_t start, end
        cdef Py_ssize_t count = 0
        if self.failed is not None:
            raise ProtocolError(self.failed)
        if self.streaming:
            return self.go_on()
        start = self.pos
        while True:
            end = self.scan() if self.ready < 0 else self.ready
            if end >= 0 and self.kind == PLAIN:
                count += 1
                self.pos = end
                self.begin()
                if count < self.max_run:
                    continue
                return self.run(start, count)
            if count:
                self.ready = end if end >= 0 else -1
                return self.run(start, count)
            if end == BAD:
                raise ProtocolError(self.failed)
            if end == LARGE:
                return self.begin_stream()
            if end < 0:
                return None
            unit = self.command(end)
            if unit is not None:
                return unit
            start = self.pos

    cdef Py_ssize_t plain_run(self) except? -100:
        """How many plain commands are there now, with their bytes in `run_bytes` and their names in `_names`; 0 when more
        bytes are needed; -1 when something else comes, which C{next} gives."""
        cdef Py_ssize_t start = self.pos, end, count = 0
        if self.failed is not None or self.streaming:
            return -1
        while True:
            end = self.scan() if self.ready < 0 else self.ready
            if end < 0 or self.kind != PLAIN:
                break
            _names[count].offset = <int>(self.pos - start) + self.name_offset
            _names[count].size = self.name_size
            count += 1
            self.pos = end
            self.begin()
            if count == self.max_run or count == MAX_NAMED:
                end = INCOMPLETE
                break
        if end >= 0:
            self.ready = end
        if count:
            self.run_bytes = self.cut(start)
            return count
        return 0 if end == INCOMPLETE else -1

    cdef tuple run(self, Py_ssize_t start, Py_ssize_t count):
        return (RUN, self.cut(start), count)

    cdef bytes cut(self, Py_ssize_t start):
        """What was passed over since `start`; it is given away."""
        cdef bytes data
        if start == 0 and self.pos == self.total and self.chunk is not None:
            data = self.chunk
        else:
            data = self.slice(start, self.pos)
        if self.pos == self.total:
            self.clear()
            self.at = self.searched = 0
        return data

    cdef object command(self, Py_ssize_t end):
        cdef int kind = self.kind
        cdef bytes raw = self.slice(self.pos, end)
        args = self.inline_args
        self.inline_args = None
        self.pos = end
        self.begin()
        if kind == EMPTY:
            return None
        if kind == INLINE:
            return (COMMAND, encode_command(*args), args)
        return (COMMAND, raw, split_command(raw))

    # -- commands too large to hold

    cdef tuple begin_stream(self):
        args = split_command(self.slice(self.pos, self.at))
        self.streaming = True
        self.skip = 0
        cdef Py_ssize_t end = self.advance(self.at)
        data = self.slice(self.pos, self.at if end < 0 else end)
        self.moved(self.pos + len(data))
        return (BEGIN, data, args)

    cdef void moved(self, Py_ssize_t end) noexcept:
        self.pos = self.at = self.searched = end
        if self.pos == self.total:
            self.clear()
            self.at = self.searched = 0

    cdef Py_ssize_t advance(self, Py_ssize_t at) except? -100:
        """Pass over whole and partial bulks; where that has to stop. BAD with C{failed} set when the stream is broken."""
        cdef Py_ssize_t step, size, body = 0
        while True:
            step = self.total - at
            if self.skip < step:
                step = self.skip
            at += step
            self.skip -= step
            if self.skip or not self.need:
                return at
            size = self.bulk(at, &body)
            if size == BAD:
                return BAD
            if size == INCOMPLETE:
                return at
            self.need -= 1
            self.skip = size + 2
            at = body

    cdef object go_on(self):
        cdef Py_ssize_t end = self.advance(self.pos)
        cdef bytes data
        if end == BAD:
            raise ProtocolError(self.failed)
        if self.chunk is not None and self.pos == 0 and end == self.total:
            data = self.chunk
        else:
            data = self.slice(self.pos, end)
        self.moved(end)
        if not self.skip and not self.need:
            self.streaming = False
            self.begin()
            return (END, data, 0)
        return (MORE, data, 0) if data else None
