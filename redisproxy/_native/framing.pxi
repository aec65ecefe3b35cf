"""The compiled twin of C{resp.RequestFramer} and C{resp.ReplyScanner}: the same interface, the same answers, no Python
object for a plain command. C{tests/test_resp.py} runs on both."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy, memmove

from redisproxy import resp
from redisproxy.resp import ProtocolError, encode_command, split_command, split_inline
from redisproxy.resp.common import printable

cdef enum:
    RUN = 0
    COMMAND = 1
    BEGIN = 2
    MORE = 3
    END = 4

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
    MAX_LENGTH_LINE = 64
    MAX_REPLY_LINE = 1048576
    KEPT_BYTES = 4096

cdef Py_ssize_t MAX_ELEMENTS = <Py_ssize_t>1 << 40
cdef Py_ssize_t NO_NUMBER = -(<Py_ssize_t>1 << 62)


cdef inline Py_ssize_t number(const char* p, Py_ssize_t size) noexcept nogil:
    """A length as Redis's string2ll reads it; NO_NUMBER when it is none."""
    cdef Py_ssize_t i = 0, value = 0
    cdef bint negative = False
    if size > 0 and p[0] == c'-':
        negative = True
        i = 1
    if i >= size or size - i > 18:
        return NO_NUMBER
    if p[i] == c'0' and size > 1:
        return NO_NUMBER
    while i < size:
        if p[i] < c'0' or p[i] > c'9':
            return NO_NUMBER
        value = value * 10 + (p[i] - c'0')
        i += 1
    return -value if negative else value


cdef inline unsigned char upper(unsigned char byte) noexcept nogil:
    return byte - 32 if c'a' <= byte <= c'z' else byte


cdef class Names:
    """A set of names with a bitmap before it, so that most names are ruled out without a Python object."""

    cdef object names
    cdef unsigned char bits[256]

    def __cinit__(self, names):
        cdef int i
        for i in range(256):
            self.bits[i] = 0
        self.names = names
        for name in names:
            self.mark(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))

    cdef inline unsigned int slot(self, const char* p, Py_ssize_t size) noexcept nogil:
        return (<unsigned int>size * 131 + upper(<unsigned char>p[0]) * 31 + upper(<unsigned char>p[size - 1]) * 7
                + upper(<unsigned char>p[size >> 1])) & 2047

    cdef void mark(self, const char* p, Py_ssize_t size) noexcept:
        cdef unsigned int slot = self.slot(p, size)
        self.bits[slot >> 3] |= 1 << (slot & 7)

    cdef bint has(self, const char* p, Py_ssize_t size):
        if size < 1 or size > 32:
            return False
        cdef unsigned int slot = self.slot(p, size)
        if not (self.bits[slot >> 3] >> (slot & 7)) & 1:
            return False
        return PyBytes_FromStringAndSize(p, size).upper() in self.names


cdef dict _known = {}


cdef Names names_of(special):
    found = _known.get(special)
    if found is None:
        if len(_known) > 64:
            _known.clear()
        found = _known[special] = Names(special)
    return <Names>found


cdef class RequestFramer:
    """See C{resp.RequestFramer}."""

    cdef object _special
    cdef Names _names
    cdef public bint authenticated
    cdef public Py_ssize_t max_run
    cdef Py_ssize_t max_held, max_bulk, max_inline, max_args
    cdef bytes chunk
    cdef char* held
    cdef Py_ssize_t capacity
    cdef const char* p
    cdef Py_ssize_t total, pos, at, searched, need, skip, ready
    cdef int kind
    cdef bint first, streaming
    cdef object failed
    cdef list inline_args
    cdef bytes run_bytes

    def __cinit__(self, special, *, Py_ssize_t max_held_bytes=262144, Py_ssize_t max_bulk_bytes=536870912,
                  Py_ssize_t max_inline_bytes=MAX_LINE, Py_ssize_t max_args=2147483647):
        self.special = special
        self.authenticated = True
        self.max_run = 1 << 30
        self.max_held = max_held_bytes
        self.max_bulk = max_bulk_bytes
        self.max_inline = max_inline_bytes
        self.max_args = max_args
        self.held = NULL
        self.p = NULL
        self.begin()

    def __dealloc__(self):
        free(self.held)

    @property
    def special(self):
        return self._special

    @special.setter
    def special(self, value):
        self._special = value
        self._names = None if value is None else names_of(value)

    @property
    def buffered(self):
        """Bytes held and not yet returned."""
        return self.total - self.pos

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

    cdef inline void begin(self) noexcept:
        self.need = 0
        self.at = self.searched = self.pos
        self.kind = PLAIN
        self.first = True
        self.ready = -1

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

    cpdef feed(self, bytes data):
        """Append what has arrived; nothing is looked at here."""
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
        self.at -= shift
        self.searched -= shift
        if self.ready >= 0:
            self.ready -= shift

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
        """How many plain commands are there now, with their bytes in `run_bytes`; 0 when more bytes are needed; -1 when
        something else comes, which C{next} gives."""
        cdef Py_ssize_t start = self.pos, end, count = 0
        if self.failed is not None or self.streaming:
            return -1
        while True:
            end = self.scan() if self.ready < 0 else self.ready
            if end < 0 or self.kind != PLAIN:
                break
            count += 1
            self.pos = end
            self.begin()
            if count == self.max_run:
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

    cdef Py_ssize_t fail(self, str text):
        self.failed = "Protocol error: " + text
        return BAD

    # -- looking for the end of one command

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
                if self._names is None or self._names.has(self.p + body, size):
                    self.kind = SPECIAL
            self.at = end
            self.need -= 1
        return self.at

    cdef inline Py_ssize_t stopped(self, Py_ssize_t end) noexcept:
        return INCOMPLETE if (end if end > self.total else self.total) - self.pos <= self.max_held else LARGE

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


cdef object unexpected(char kind):
    return ProtocolError("unexpected reply type '%s'" % printable(<unsigned char>kind))


cdef class ReplyScanner:
    """See C{resp.ReplyScanner}."""

    cdef public Py_ssize_t pushes
    cdef public bint counts_pushes
    cdef Py_ssize_t skip, todo, line_bytes
    cdef bint in_line, push
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
                    done += 1
        position[0] = pos
        return done

    cdef Py_ssize_t line(self, const char* p, Py_ssize_t total, Py_ssize_t pos) except? -100:
        """Read a header line; where it ends, -1 when it is not all there."""
        cdef const char* found = <const char*>memchr(p + pos, 10, total - pos)
        cdef Py_ssize_t end = -1 if found == NULL else found - p
        cdef char kind
        if self.in_line:
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
        if kind in (c'+', c'-', c':', c',', c'#', c'(', c'_'):
            if end < 0:
                self.in_line = True
                self.line_bytes = 0
                self.grow(total - pos)
                return -1
            self.todo -= 1
            return end + 1
        return self.length(p, total, pos, end, kind)

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
