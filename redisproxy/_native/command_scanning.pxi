"""Where one command ends: the headers of its arguments, an inline line, and what is wrong with either."""

cdef enum:
    PLAIN = 0
    SPECIAL = 1
    INLINE = 2
    EMPTY = 3

cdef enum:
    INCOMPLETE = -1
    LARGE = -2
    ARGUMENTS = -3
    BAD = -4

cdef enum:
    MAX_LINE = 65536
    NAME_BYTES = 24  # longer than the name of any command that is known


cdef class CommandScanner(RequestBuffer):
    """Looks for the end of the command that begins at `pos`; it goes on where it stopped for want of bytes.

    What it returns is a place in the buffer, or one of the negative constants.
    """

    cdef Names _names
    cdef public bint authenticated
    cdef bint first
    cdef int kind, max_args  # beside each other: every client has this
    cdef Py_ssize_t max_held, max_bulk, max_inline
    cdef Py_ssize_t at, searched, need, ready
    cdef int name_offset, name_size
    cdef object failed
    cdef list inline_args

    cdef inline void begin(self) noexcept:
        self.need = 0
        self.at = self.searched = self.pos
        self.kind = PLAIN
        self.first = True
        self.ready = -1

    cpdef feed(self, bytes data):
        """Append what has arrived; nothing is looked at here."""
        cdef Py_ssize_t shift = self.append(data)
        self.at -= shift
        self.searched -= shift
        if self.ready >= 0:
            self.ready -= shift

    cdef Py_ssize_t fail(self, str text):
        self.failed = "Protocol error: " + text
        return BAD

    cdef Py_ssize_t scan(self) except? -100:
        cdef Py_ssize_t found
        if self.need == 0:
            found = self.header()
            if found != ARGUMENTS:
                return found
        return self.arguments()

    cdef Py_ssize_t header(self) except? -100:
        cdef Py_ssize_t end, count
        if self.pos >= self.total:
            return INCOMPLETE
        if self.p[self.pos] != c'*':
            return self.inline_end()
        end = self.line_end(self.pos)
        if end == BAD:
            return self.fail("too big mbulk count string")
        if end < 0:
            return INCOMPLETE
        count = number(self.p + self.pos + 1, end - self.pos - 1)
        if count == NO_NUMBER or count > self.max_args:
            return self.fail("invalid multibulk length")
        if count > 10 and not self.authenticated:
            return self.fail("unauthenticated multibulk length")
        if count <= 0:
            self.kind = EMPTY
            return end + 2
        self.need = count
        self.at = end + 2
        return ARGUMENTS

    cdef inline Py_ssize_t line_end(self, Py_ssize_t at) noexcept:
        """Where the CR of the line at `at` is, once its LF is there; INCOMPLETE before, BAD when it is too long."""
        cdef Py_ssize_t reach = self.total - at
        cdef const char* found
        if reach > MAX_LINE:
            reach = MAX_LINE
        found = <const char*>memchr(self.p + at, 13, reach) if reach > 0 else NULL
        if found == NULL:
            return BAD if self.total - at >= MAX_LINE else INCOMPLETE
        return found - self.p if found - self.p + 1 < self.total else INCOMPLETE

    cdef Py_ssize_t inline_end(self) except? -100:
        cdef Py_ssize_t begin = self.searched if self.searched > self.pos else self.pos, end
        cdef const char* found = <const char*>memchr(self.p + begin, 10, self.total - begin)
        end = -1 if found == NULL else found - self.p
        if end < 0 or end - self.pos > self.max_inline:
            if self.total - self.pos > self.max_inline:
                return self.fail("too big inline request")
            self.searched = self.total
            return INCOMPLETE
        line = self.slice(self.pos, end)
        try:
            args = split_inline(line.removesuffix(b"\r"))
        except ProtocolError as error:
            self.failed = error.text
            return BAD
        self.inline_args = args
        self.kind = INLINE if args else EMPTY
        return end + 1

    cdef Py_ssize_t bulk(self, Py_ssize_t at, Py_ssize_t* body) except? -100:
        """Size of the bulk whose header is at `at`, and where its body begins; INCOMPLETE or BAD."""
        cdef Py_ssize_t end, size
        cdef unsigned char byte
        if at >= self.total:
            return INCOMPLETE
        if self.p[at] != c'$':
            byte = <unsigned char>self.p[at]
            return self.fail("expected '$', got '%s'" % printable(byte))
        end = self.line_end(at)
        if end == BAD:
            return self.fail("too big bulk count string")
        if end < 0:
            return INCOMPLETE
        size = number(self.p + at + 1, end - at - 1)
        if size == NO_NUMBER or size < 0 or size > self.max_bulk:
            return self.fail("invalid bulk length")
        if size > 16384 and not self.authenticated:
            return self.fail("unauthenticated bulk length")
        body[0] = end + 2
        return size

    cdef Py_ssize_t arguments(self) except? -100:
        cdef Py_ssize_t size, body = 0, end
        while self.need:
            size = self.bulk(self.at, &body)
            if size == BAD:
                return BAD
            end = self.total if size == INCOMPLETE else body + size + 2
            if self.first and end - self.pos > self.max_held:
                return self.fail("too big bulk count string")
            if size == INCOMPLETE or end > self.total:
                return self.stopped(end)
            if self.first:
                self.first = False
                self.name_offset = <int>(body - self.pos)
                self.name_size = <int>size if size < NAME_BYTES else NAME_BYTES + 1
                if self._names is None or self._names.has(self.p + body, size):
                    self.kind = SPECIAL
            self.at = end
            self.need -= 1
        return self.at

    cdef inline Py_ssize_t stopped(self, Py_ssize_t end) noexcept:
        return INCOMPLETE if (end if end > self.total else self.total) - self.pos <= self.max_held else LARGE
