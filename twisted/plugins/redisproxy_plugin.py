"""Makes C{redisproxy} a subcommand of C{twistd} and C{twist}."""

from twisted.application.service import ServiceMaker

redisproxy = ServiceMaker(
    "redisproxy",
    "redisproxy.tap",
    "A Redis proxy that moves live clients from one Redis server to another.",
    "redisproxy",
)
