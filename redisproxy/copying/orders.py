"""The orders of L{interface.Copying} as AMP commands: one for each method, with the same names and types."""

from __future__ import annotations

from redisproxy.copying.interface import CopyProgress, Proof, Rest, Survey
from redisproxy.remote.order import Order, answering, taking


class TakeSurvey(Order):
    """C{Copying.survey}."""

    limit_s = None
    response = answering(Survey)


class CopyAll(Order):
    """C{Copying.copy}."""

    limit_s = None
    can_be_cancelled = True
    arguments = taking(replace=bool)
    response = answering(tuple[str, ...])


class NoteChanges(Order):
    """C{Copying.note}."""

    arguments = taking(names=tuple[bytes, ...], perhaps=tuple[tuple[int, bytes], ...], everything=bool, flushed=bool)


class ComeNear(Order):
    """C{Copying.near}."""

    limit_s = None
    can_be_cancelled = True


class CopyRest(Order):
    """C{Copying.copy_rest}."""

    limit_s = None
    can_be_cancelled = True
    response = answering(Rest)


class Verify(Order):
    """C{Copying.verify}."""

    limit_s = None
    can_be_cancelled = True
    arguments = taking(seconds=float)
    response = answering(Proof)


class TellProgress(Order):
    """C{Copying.progress}."""

    response = answering(CopyProgress)


class StopCopying(Order):
    """C{Copying.stop}."""

    can_be_cancelled = False
