"""What can go wrong between this process and a node. No text holds a password or a command's arguments."""


class EslError(Exception):
    """Base of every error of the Event Socket layer."""


class ConnectError(EslError):
    """No usable connection came about: name not found, refused, unreachable, or no handshake in time."""


class AuthenticationError(EslError):
    """The node is there but lets us not in: a wrong password, or an address its access list refuses."""


class ConnectionLost(EslError):
    """The connection ended, by either side, before what was awaited came. A command may have run, or not."""


class ReplyTimeout(EslError):
    """No reply to a command in time. The connection is closed: a late reply would meet the next command."""


class JobTimeout(EslError):
    """No result of a background job in time. The job may still run, and its result may still come."""


class CommandRefused(EslError):
    """The Event Socket itself answered `-ERR` (permission denied, unknown command). Nothing ran."""


class ProtocolError(EslError):
    """The byte stream is not Event Socket framing. Nothing after it can be trusted."""
