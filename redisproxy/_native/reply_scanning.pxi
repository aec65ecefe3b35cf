"""The compiled twin of C{resp.ReplyScanner}: where replies end. C{tests/resp/test_resp.py} runs on both."""

cdef enum:
    MAX_LENGTH_LINE = 64
    MAX_REPLY_LINE = 1048576
    READ_ONLY_BYTES = 10

cdef const char* READ_ONLY = b"-READONLY "

cdef Py_ssize_t MAX_ELEMENTS = <Py_ssize_t>1 << 40


cdef object unexpected(char kind):
    return ProtocolError("unexpected reply type '%s'" % printable(<unsigned char>kind))


@cython.final
cdef class ReplyScanner:
    """See C{resp.ReplyScanner}."""

    cdef public Py_ssize_t pushes, errors
    cdef public bint counts_pushes, read_only
    cdef Py_ssize_t skip, todo, line_bytes, matched
    cdef bint in_line, push, error
    cdef char partial[MAX_LENGTH_LINE + 8]
    cdef Py_ssize_t partial_size

    @property
    def mid(self):
        """Whether a reply has begun and not ended."""
        return self.todo != 0

    cpdef tuple scan(self, bytes data, Py_ssize_t pos, Py_ssize_t want):
        """Pass over at most `want` replies; see C{resp.ReplyScanner.scan}."""
        cdef Py_ssize_t end = pos
        cdef Py_ssize_t done = self.pass_over(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &end, want)
        return (end, done)

    cdef Py_ssize_t pass_over(self, const char* p, Py_ssize_t total, Py_ssize_t* position, Py_ssize_t want) except -1:
        cdef Py_ssize_t pos = position[0], done = 0, step
        while done < want:
            if self.skip:
                step = total - pos
                if self.skip < step:
                    step = self.skip
                self.skip -= step
                pos += step
                if self.skip:
                    break
                self.todo -= 1
            elif pos >= total:
                break
            else:
                pos = self.line(p, total, pos)
                if pos < 0:
                    pos = total
                    break
            if not self.todo:
                if self.push:
                    self.push = False
                    self.pushes += 1
                    done += self.counts_pushes
                else:
                    self.errors += self.error
                    done += 1
        position[0] = pos
        return done

    cdef Py_ssize_t line(self, const char* p, Py_ssize_t total, Py_ssize_t pos) except? -100:
        """Read a header line; where it ends, -1 when it is not all there."""
        cdef const char* found = <const char*>memchr(p + pos, 10, total - pos)
        cdef Py_ssize_t end = -1 if found == NULL else found - p
        cdef char kind
        if self.in_line:
            if self.matched:
                self.match(p + pos, total - pos)
            if end < 0:
                self.grow(total - pos)
                return -1
            self.in_line = False
            self.todo -= 1
            return end + 1
        kind = self.partial[0] if self.partial_size else p[pos]
        if not self.todo:
            self.todo = 1
            self.push = kind == c'>'
            self.error = kind == c'-' or kind == c'!'
            self.matched = 0
            if kind == c'-':
                self.match(p + pos, total - pos)
        if kind in (c'+', c'-', c':', c',', c'#', c'(', c'_'):
            if end < 0:
                self.in_line = True
                self.line_bytes = 0
                self.grow(total - pos)
                return -1
            self.todo -= 1
            return end + 1
        return self.length(p, total, pos, end, kind)

    cdef void match(self, const char* text, Py_ssize_t size) noexcept:
        """Compare what there is of an error with READ_ONLY; it may come in pieces."""
        cdef Py_ssize_t step = READ_ONLY_BYTES - self.matched
        if size < step:
            step = size
        if memcmp(text, READ_ONLY + self.matched, step) != 0:
            self.matched = 0
            return
        self.matched += step
        if self.matched == READ_ONLY_BYTES:
            self.matched = 0
            self.read_only = True

    cdef int grow(self, Py_ssize_t size) except -1:
        self.line_bytes += size
        if self.line_bytes > MAX_REPLY_LINE:
            raise ProtocolError("the line of a reply is too long")
        return 0

    cdef Py_ssize_t length(self, const char* p, Py_ssize_t total, Py_ssize_t pos, Py_ssize_t end, char kind) except? -100:
        cdef Py_ssize_t size = (end if end >= 0 else total) - pos
        cdef const char* text = p + pos
        if self.partial_size + size > MAX_LENGTH_LINE:
            raise ProtocolError("the length line of a reply is too long")
        if end < 0 and kind not in (c'$', c'=', c'!', c'*', c'~', c'>', c'%', c'|'):
            raise unexpected(kind)
        if self.partial_size or end < 0:
            memcpy(self.partial + self.partial_size, text, size)
            self.partial_size += size
            if end < 0:
                return -1
            text = self.partial
            size = self.partial_size
            self.partial_size = 0
        if size and text[size - 1] == 13:
            size -= 1
        self.value(kind, text + 1, size - 1)
        return end + 1

    cdef int value(self, char kind, const char* text, Py_ssize_t digits) except -1:
        cdef Py_ssize_t size = number(text, digits)
        cdef bint nullable = kind == c'$' or kind == c'*'
        if size == NO_NUMBER or size < (-1 if nullable else 0) or size > MAX_ELEMENTS:
            raise ProtocolError("invalid length in a reply")
        if size < 0:
            self.todo -= 1
        elif kind == c'$' or kind == c'=' or kind == c'!':
            self.skip = size + 2
        elif kind == c'*' or kind == c'~' or kind == c'>':
            self.todo += size - 1
        elif kind == c'%':
            self.todo += 2 * size - 1
        elif kind == c'|':
            self.todo += 2 * size
        else:
            raise unexpected(kind)
        if self.todo > MAX_ELEMENTS:
            raise ProtocolError("a reply has too many elements")
        return 0
