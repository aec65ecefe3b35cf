"""Lengths as the protocol writes them, in requests and in replies."""

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
