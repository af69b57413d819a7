"""Errors of a request, with the status they are answered with."""

from models.errors import VisavisError


class RequestError(VisavisError):
    """The caller's fault: answered with a 4xx and its sentence."""

    status = 400


class ConflictError(RequestError):
    """It cannot be done as things stand."""

    status = 409


class TooLargeError(RequestError):
    """The body is larger than the settings allow."""

    status = 413


class NotFoundError(RequestError):
    """What was asked for is not here."""

    status = 404


class ServerFullError(RequestError):
    """No session is free; the caller may try again later."""

    status = 503
    retry_after_s = 5
