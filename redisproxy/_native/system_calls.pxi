"""What the transports call of Linux: declarations only, and the clock that a turn of the hub is measured with."""

from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint32_t
from libc.stddef cimport size_t

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        void* ptr
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event*)
    int epoll_wait(int, epoll_event*, int, int)
    int EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLL_CLOEXEC

cdef extern from "sys/uio.h" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    cdef struct sockaddr:
        pass
    ctypedef uint32_t socklen_t
    cdef struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    cdef struct linger:
        int l_onoff
        int l_linger
    ssize_t recv(int, void*, size_t, int)
    ssize_t send(int, const void*, size_t, int)
    ssize_t sendmsg(int, const msghdr*, int)
    int accept4(int, sockaddr*, socklen_t*, int)
    int shutdown(int, int)
    int setsockopt(int, int, int, const void*, socklen_t)
    int getsockopt(int, int, int, void*, socklen_t*)
    int MSG_NOSIGNAL, SOCK_NONBLOCK, SOCK_CLOEXEC, SHUT_WR, SHUT_RDWR, SOL_SOCKET, SO_LINGER, SO_ERROR

cdef extern from "netinet/in.h" nogil:
    int IPPROTO_TCP
cdef extern from "netinet/tcp.h" nogil:
    int TCP_NODELAY
cdef extern from "unistd.h" nogil:
    int c_close "close"(int)
    int usleep(unsigned int)
cdef extern from "time.h" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int CLOCK_MONOTONIC
cdef extern from "string.h" nogil:
    void* memset(void*, int, size_t)


cdef long long nanoseconds() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <long long>now.tv_sec * 1000000000 + now.tv_nsec
