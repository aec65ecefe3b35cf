"""The twistd and twist plugin's two halves: command line options, and the service they make."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.python import usage

from redisproxy import config
from redisproxy.control.logs import Logs
from redisproxy.net import passed_sockets, tls
from redisproxy.upgrade.inheritance import Inheritance, InheritanceFault
from redisproxy.upgrade.pidfile import Pidfile


class Options(usage.Options):
    """C{twistd -n redisproxy -c config.json}"""

    synopsis = "[options]"
    longdesc = "A Redis proxy for moving live applications between Redis servers."
    optParameters: ClassVar[list[list[Any]]] = [["config", "c", None, "The configuration file (JSON)."]]

    def postOptions(self) -> None:
        """Read the configuration.

        Its path is made absolute: twistd may change its working directory before a reload reads it again.

        @raise usage.UsageError: none was named.
        @raise SystemExit: what is wrong with it; twistd and twist print just that, without their options.
        """
        if not self["config"]:
            raise usage.UsageError("a configuration file is needed: -c config.json")
        try:
            self["settings"] = config.load(self["config"], tls.faults)
            self["inheritance"] = Inheritance.take(os.environ)
        except (config.ConfigError, InheritanceFault) as error:
            raise SystemExit(f"redisproxy can't start with {self['config']}:\n{error}") from None
        self["config"] = os.path.abspath(self["config"])
        settings = self["settings"]
        self["logs"] = Logs(getattr(self, "parent", None) or {}, lambda: settings)
        self["pidfile"] = Pidfile(getattr(self, "parent", None))
        if self["inheritance"] is not None:
            self["pidfile"].disown()  # twistd would not start beside the process that it names


def makeService(options: Options) -> IService:
    """The service for these options, with its ports bound.

    They are bound here, before twistd has written its pidfile or become a daemon, so that a start that fails says so in
    the terminal and leaves nothing behind; and as the process that the service manager has passed sockets to.

    @raise SystemExit: an address can't be bound, or a passed socket can't be used.
    """
    from twisted.internet import reactor

    from redisproxy.control.service_manager import ServiceManager
    from redisproxy.service import service_of
    from redisproxy.upgrade.origin import CommandLine, Origin

    manager = ServiceManager.take(os.environ, reactor)
    command = CommandLine.of_this_process(manager.environment)
    origin = Origin(command, options["pidfile"], options["inheritance"])
    service = service_of(options["config"], options["settings"], reactor, manager, origin)
    at_once: Any = reactor
    service.logs = options["logs"]
    service.logs.follow(lambda: service.control.configuration.settings, at_once.callFromThread)
    service.bind(passed_sockets.started_with())
    passed_sockets.forget(os.environ)
    return service
