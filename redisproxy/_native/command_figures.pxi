"""The compiled twin of C{forwarding.command_figures}: counts and histograms by family of command."""

cdef enum:
    FAMILIES = 16  # at the most
    BUCKETS = 96  # at the most
    SLOTS = 1024  # a power of two
    NOT_COUNTED = -1


cdef extern from *:
    int __builtin_clzll(unsigned long long) nogil


cdef struct Name:
    char text[NAME_BYTES]
    unsigned char size, family


cdef inline Py_ssize_t header_at(const char* p, Py_ssize_t size, Py_ssize_t* at) noexcept nogil:
    """The number in the line at `at`, which has been checked in framing; `at` is behind the line then. -1 at the end."""
    cdef Py_ssize_t i = at[0] + 1, value = 0
    while i < size and p[i] != 13:
        value = value * 10 + p[i] - 48
        i += 1
    at[0] = i + 2
    return value if i + 2 <= size else -1


@cython.final
cdef class CommandFigures:
    """See C{command_figures.CommandFigures}."""

    cdef Name names[SLOTS]
    cdef Name last  # as it was spelled; the next command is often the same
    cdef int begin[64]  # the first bucket that a number of so many bits may be in
    cdef int families, buckets
    cdef long long bounds[BUCKETS]
    cdef long long commands_of[FAMILIES]
    cdef long long errors_of[FAMILIES]
    cdef long long client_sum[FAMILIES]
    cdef long long uplink_sum[FAMILIES]
    cdef long long client_of[FAMILIES][BUCKETS]
    cdef long long uplink_of[FAMILIES][BUCKETS]

    def __cinit__(self, families, bounds_ns):
        cdef int i
        self.families = max(families.values(), default=0) + 1
        self.buckets = len(bounds_ns) + 1
        if self.families > FAMILIES or self.buckets > BUCKETS or len(families) > SLOTS // 2:
            raise ValueError("too many families, names or buckets")
        for i, bound in enumerate(bounds_ns):
            self.bounds[i] = bound
        for i in range(63):
            self.begin[i] = next((at for at, bound in enumerate(bounds_ns) if bound >= 1 << i), self.buckets - 1)
        self.begin[63] = self.buckets - 1
        for name, family in families.items():
            self.add(name, family)

    cdef int add(self, bytes name, int family) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(name)
        cdef const char* p = PyBytes_AS_STRING(name)
        cdef unsigned int slot = name_slot(p, size) & (SLOTS - 1)
        if size > NAME_BYTES:
            raise ValueError("a name that is too long")
        while self.names[slot].size:
            slot = (slot + 1) & (SLOTS - 1)
        memcpy(self.names[slot].text, p, size)
        self.names[slot].size = <unsigned char>size
        self.names[slot].family = <unsigned char>family
        return 0

    cdef int find(self, const char* p, Py_ssize_t size) noexcept nogil:
        cdef unsigned int slot
        cdef Py_ssize_t i
        cdef Name* name
        if size == self.last.size and memcmp(p, self.last.text, size) == 0:
            return self.last.family
        if size < 1 or size > NAME_BYTES:
            return 0
        slot = name_slot(p, size) & (SLOTS - 1)
        while self.names[slot].size:
            name = &self.names[slot]
            if name.size == size:
                i = 0
                while i < size and upper(<unsigned char>p[i]) == <unsigned char>name.text[i]:
                    i += 1
                if i == size:
                    memcpy(self.last.text, p, size)
                    self.last.size = name.size
                    self.last.family = name.family
                    return name.family
            slot = (slot + 1) & (SLOTS - 1)
        return 0

    cdef int next_family(self, const char* p, Py_ssize_t size, Py_ssize_t* at, bint last) noexcept nogil:
        """The family of the command at `at`, which is behind it then unless it is the last one."""
        cdef Py_ssize_t arguments = header_at(p, size, at), length = header_at(p, size, at)
        cdef int family = self.find(p + at[0], length) if length >= 0 and at[0] + length <= size else 0
        if last:
            return family
        at[0] += length + 2
        while arguments > 1 and at[0] < size:
            length = header_at(p, size, at)
            at[0] += length + 2
            arguments -= 1
        return family

    def start_of(self, bytes data, Py_ssize_t number):
        """See C{resp.command_beginning.start_of}."""
        cdef const char* p = PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at = 0, arguments, length
        while number > 0 and at < size:
            arguments = header_at(p, size, &at)
            while arguments > 0 and at < size:
                length = header_at(p, size, &at)
                at += length + 2
                arguments -= 1
            number -= 1
        return at

    cdef bytes count_sent(self, bytes data, Py_ssize_t count, int* family):
        """Count these commands; their family is in `family`, and a byte for each is returned if they are of several."""
        cdef const char* p = PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at = 0, i
        cdef bytes each = None
        for i in range(count):
            each = self.count_one(self.next_family(p, size, &at, i == count - 1) if at < size else 0, i, count, each, family)
        return each

    cdef bytes count_run(self, bytes run, Py_ssize_t count, int* family):
        """The same for commands whose names are in `_names`."""
        cdef const char* p = PyBytes_AS_STRING(run)
        cdef Py_ssize_t i
        cdef bytes each = None
        for i in range(count):
            each = self.count_one(self.find(p + _names[i].offset, _names[i].size), i, count, each, family)
        return each

    cdef inline int count_alone(self, bytes run) noexcept:
        """The same for a run of one command, which has one family."""
        cdef int family = self.find(PyBytes_AS_STRING(run) + _names[0].offset, _names[0].size)
        self.commands_of[family] += 1
        return family

    cdef inline bytes count_one(self, int found, Py_ssize_t number, Py_ssize_t count, bytes each, int* family):
        self.commands_of[found] += 1
        if number == 0:
            family[0] = found
        elif each is None and found != family[0]:
            each = PyBytes_FromStringAndSize(NULL, count)
            memset(PyBytes_AS_STRING(each), family[0], count)
        if each is not None:
            PyBytes_AS_STRING(each)[number] = <char>found
        return each

    def sent(self, bytes data, Py_ssize_t count):
        cdef int family
        each = self.count_sent(data, count, &family)
        return family, each

    def failed(self, int family, Py_ssize_t count):
        self.errors_of[family] += count

    cdef int bucket(self, long long ns) noexcept nogil:
        """The number of the first bucket whose bound is not less."""
        cdef int i = self.begin[63 - __builtin_clzll(ns | 1)]
        while i < self.buckets - 1 and self.bounds[i] < ns:
            i += 1
        return i

    def answered(self, int family, Py_ssize_t count, long long client_ns, long long uplink_ns):
        client_ns, uplink_ns = max(client_ns, 0), max(uplink_ns, 0)
        self.add_times(family, count, client_ns, self.bucket(client_ns), uplink_ns, self.bucket(uplink_ns))

    cdef inline void add_times(self, int family, Py_ssize_t count, long long client_ns, int client, long long uplink_ns,
                               int uplink) noexcept nogil:
        self.client_of[family][client] += count
        self.uplink_of[family][uplink] += count
        self.client_sum[family] += count * client_ns
        self.uplink_sum[family] += count * uplink_ns

    # -- what others read

    cdef list numbers(self, long long* values):
        cdef int i
        return [values[i] for i in range(self.families)]

    @property
    def commands(self):
        return self.numbers(self.commands_of)

    @property
    def errors(self):
        return self.numbers(self.errors_of)

    @property
    def client_ns(self):
        return self.numbers(self.client_sum)

    @property
    def uplink_ns(self):
        return self.numbers(self.uplink_sum)

    @property
    def client(self):
        cdef int i, j
        return [[self.client_of[i][j] for j in range(self.buckets)] for i in range(self.families)]

    @property
    def uplink(self):
        cdef int i, j
        return [[self.uplink_of[i][j] for j in range(self.buckets)] for i in range(self.families)]
