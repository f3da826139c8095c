"""What can go wrong between this process and a node. No error's text holds a password or a command's arguments."""


class EslError(Exception):
    """Base of every error of the Event Socket layer."""


class ConnectError(EslError):
    """No connection could be made: name not found, refused, unreachable, or no handshake in time."""


class AuthenticationError(EslError):
    """The node is there but refuses us: the password is wrong, or its access list lacks our address."""


class ConnectionLost(EslError):
    """Either side ended the connection before what was awaited came. The command may or may not have run."""


class ReplyTimeout(EslError):
    """No reply to a command in time. The connection is closed, as every later command would wait behind this one."""


class JobTimeout(EslError):
    """No result of a background job in time. The job may still run, and its result may still come."""


class CommandRefused(EslError):
    """The Event Socket itself replied `-ERR` (permission denied, unknown command). Nothing ran."""


class ProtocolError(EslError):
    """The bytes are not Event Socket frames. Nothing after them can be trusted."""
