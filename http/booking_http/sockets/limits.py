"""The limits of the websockets that are no settings, with their origin."""

import msgspec


class Pace(msgspec.Struct, frozen=True):
    """How fast clients are served. All times are in seconds. Tests set shorter ones."""

    tick_s: float = 0.025
    """Between two looks at the versions: an admission is pushed within this time and one write."""
    gap_s: float = 0.8
    """Between two pushes to one client: *about one a second*, with time for the push itself."""
    round_s: float = 0.7
    """Over which one round of pushes is spread; it is over before the next may begin."""
    refresh_s: float = 5.0
    """Between two rounds without change: estimates move with the clock alone."""
    linger_s: float = 1.0
    """For a client to answer a close; the connection is cut off then."""
    leaving_s: float = 1.5
    """Over which a stopping instance sends its clients away."""


MESSAGE_SIZE_MAX = 4 * 1024
"""Bytes of a client's message, fixed by the contract; all that is understood is under 20."""
MESSAGES_PER_MINUTE_MAX = 100
"""Frames of a client, fixed by the contract; asking each second makes 63."""

BATCH_MIN = 100
"""Clients dealt with at a tick even where the spread asks for fewer: about a millisecond."""
BATCH_MAX = 1_500
"""Clients dealt with at a tick at most: about 20 ms, which a request may have to wait."""
FRONT_LOOK_MAX = 16
"""Clients at the front of a line that are asked for in vain before the look for admitted ones ends:
admission is by number, so one would do if no draw had shuffled the line."""

ETA_STEP_S_MIN = 5
ETA_STEP_SHARE = 0.1
"""An estimate that moved by less than this is not worth a push by itself."""

UNREAD_SIZE_MAX = 4 * 1024
"""Bytes that may lie unsent for a client before it is passed over: some ten frames of a queue."""
SEND_BUFFER_SIZE = 16 * 1024
"""What the kernel keeps for a client (Linux doubles it); by itself it goes up to 4 MB."""
SILENT_HEARTBEATS_MAX = 2.5
"""Heartbeats without a sign of life after which a client counts as gone."""
CLOSE_REASON_SIZE_MAX = 123
"""Bytes; RFC 6455, 5.5: a control frame carries 125, two of them are the code."""
PROTOCOLS_MAX = 8
"""Entries of Sec-WebSocket-Protocol that are looked at; ours are two."""
