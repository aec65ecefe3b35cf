"""The compiled twins of C{resp.parse_replies}, C{encode_command} and C{encode_each}, for copies that handle millions of values.

C{tests/resp/test_parse.py} and C{tests/resp/test_encode.py} run on both.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_Check
from cpython.long cimport PyLong_FromSsize_t

from redisproxy.resp import RespError
from redisproxy.resp import parse_replies as pure_parse_replies

cdef enum:
    MAX_PARSED_DEPTH = 16
    MAX_DIGITS = 20
    MAX_HEADER = 23  # the kind, so many digits, and the end of the line

cdef object OTHER = object()  # whatever is rare or wrong is left to the pure twin, from the beginning on


cpdef list parse_replies(bytes data):
    """See C{resp.parse_replies}."""
    cdef const char* p = PyBytes_AS_STRING(data)
    cdef Py_ssize_t total = PyBytes_GET_SIZE(data), at = 0
    cdef list values = []
    while at < total:
        value = parsed(p, total, &at, 0)
        if value is OTHER:
            return pure_parse_replies(data)
        values.append(value)
    return values


cdef object parsed(const char* p, Py_ssize_t total, Py_ssize_t* position, int depth):
    """The reply that begins there; `position` is moved to its end."""
    cdef Py_ssize_t at = position[0], end, size
    cdef const char* found
    cdef char kind
    if at >= total or depth > MAX_PARSED_DEPTH:
        return OTHER
    found = <const char*>memchr(p + at, 13, total - at)
    if found == NULL:
        return OTHER
    end = found - p
    if end + 1 >= total or p[end + 1] != 10:
        return OTHER
    kind = p[at]
    position[0] = end + 2
    if kind == c'+':
        return PyBytes_FromStringAndSize(p + at + 1, end - at - 1)
    if kind == c'-':
        return RespError(PyBytes_FromStringAndSize(p + at + 1, end - at - 1).decode("utf-8", "replace"))
    if kind != c'$' and kind != c'*' and kind != c':':
        return OTHER
    size = number(p + at + 1, end - at - 1)
    if size == NO_NUMBER:
        return OTHER
    if kind == c':':
        return PyLong_FromSsize_t(size)
    if size < 0:
        return None
    if size > total - end - 2:
        return OTHER
    return text_of(p, total, position, size) if kind == c'$' else elements(p, total, position, size, depth)


cdef inline object text_of(const char* p, Py_ssize_t total, Py_ssize_t* position, Py_ssize_t size):
    cdef Py_ssize_t begin = position[0]
    if size + 2 > total - begin:
        return OTHER
    position[0] = begin + size + 2
    return PyBytes_FromStringAndSize(p + begin, size)


cdef object elements(const char* p, Py_ssize_t total, Py_ssize_t* position, Py_ssize_t count, int depth):
    cdef list values = []
    cdef Py_ssize_t left
    for left in range(count):
        value = parsed(p, total, position, depth + 1)
        if value is OTHER:
            return OTHER
        values.append(value)
    return values


def encode_command(*args):
    """See C{resp.encode_command}."""
    cdef list parts = []
    cdef Py_ssize_t size = MAX_HEADER
    cdef bytes part
    for arg in args:
        part = arg if PyBytes_Check(arg) else str(arg).encode()
        parts.append(part)
        size += MAX_HEADER + PyBytes_GET_SIZE(part) + 2
    cdef bytearray made = bytearray(size)
    cdef char* begin = PyByteArray_AS_STRING(made)
    cdef char* to = put_length(begin, c'*', len(parts))
    for part in parts:
        to = put_bulk(to, part)
    return PyBytes_FromStringAndSize(begin, to - begin)


cpdef bytes encode_each(bytes before, list values, bytes after):
    """See C{resp.encode_each}."""
    cdef Py_ssize_t size = 0, most = PyBytes_GET_SIZE(before) + MAX_HEADER + 2 + PyBytes_GET_SIZE(after)
    cdef bytes value
    for value in values:
        size += most + PyBytes_GET_SIZE(value)
    cdef bytearray made = bytearray(size)
    cdef char* begin = PyByteArray_AS_STRING(made)
    cdef char* to = begin
    for value in values:
        to = put_bulk(put(to, before), value)
        to = put(to, after)
    return PyBytes_FromStringAndSize(begin, to - begin)


cdef inline char* put(char* to, bytes part) noexcept:
    memcpy(to, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
    return to + PyBytes_GET_SIZE(part)


cdef inline char* put_bulk(char* to, bytes part) noexcept:
    to = put(put_length(to, c'$', PyBytes_GET_SIZE(part)), part)
    to[0] = 13
    to[1] = 10
    return to + 2


cdef inline char* put_length(char* to, char kind, Py_ssize_t size) noexcept:
    cdef char digits[MAX_DIGITS]
    cdef int count = 0
    to[0] = kind
    to += 1
    while True:
        digits[count] = <char>(c'0' + size % 10)
        size //= 10
        count += 1
        if size == 0:
            break
    while count:
        count -= 1
        to[0] = digits[count]
        to += 1
    to[0] = 13
    to[1] = 10
    return to + 2
