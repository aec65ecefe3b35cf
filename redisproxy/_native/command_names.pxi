"""The names of commands that are not plain, and a test that mostly needs no Python object to say that one is."""


cdef inline unsigned char upper(unsigned char byte) noexcept nogil:
    return byte - 32 if c'a' <= byte <= c'z' else byte


cdef inline unsigned int name_slot(const char* p, Py_ssize_t size) noexcept nogil:
    """A hash of a name of at least one byte, whatever its case."""
    return (<unsigned int>size * 131 + upper(<unsigned char>p[0]) * 31 + upper(<unsigned char>p[size - 1]) * 7
            + upper(<unsigned char>p[size >> 1])) & 2047


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

    cdef void mark(self, const char* p, Py_ssize_t size) noexcept:
        cdef unsigned int slot = name_slot(p, size)
        self.bits[slot >> 3] |= 1 << (slot & 7)

    cdef bint has(self, const char* p, Py_ssize_t size):
        if size < 1 or size > 32:
            return False
        cdef unsigned int slot = name_slot(p, size)
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
