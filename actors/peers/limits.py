"""Every limit of the peer links, each with the origin of its number."""

import msgspec

HOPS_MAX = 2
"""Times one command may be sent from instance to instance: to the owner that the sender knows, and
once more to the owner that this one names. A third would chase a shard that keeps moving."""

FRAME_OVERHEAD_BYTES = 5
"""In front of the messages of a frame: their number, as a msgpack array of 32 bits."""


class PeerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the links of one instance. The defaults are for peers in one data centre."""

    asks_max: int = 8_192
    """Asks waiting at one peer, for the link or for a reply. At 10,000 commands a second with
    half of them remote, more than the default deadline of 5 s lets pile up is a peer in trouble;
    each is some 500 bytes, so 4 MB."""

    outbox_bytes_max: int = 4 * 1024 * 1024
    """Encoded messages waiting for a slow link, one way: 8,192 asks of up to 500 bytes."""

    frame_bytes_max: int = 256 * 1024
    """One frame, and so the longest message: a millisecond to decode."""

    frame_messages_max: int = 1_000
    """Messages in one frame, for the same reason: the receiver spends some 10 us on each."""

    links_max: int = 256
    """Links that an instance accepts, one for each other instance: there are 256 shards to own."""

    handshakes_max: int = 64
    """Connections that have not proved the secret: as many as a restart makes."""

    handshake_timeout_s: float = 2.0
    """From connecting to the proof of both sides: a few round trips and four hashes."""

    ping_every_s: float = 1.0
    """Between two looks whether the other side was heard."""

    measure_every_s: float = 5.0
    """Between two pings of a side that is heard, for the round trip."""

    silence_max_s: float = 3.0
    """After three missed pings the link is given up: as late as membership begins to suspect."""

    backoff_min_s: float = 0.05
    """First pause before connecting again: a restarted instance takes longer to listen."""

    backoff_max_s: float = 2.0
    """Longest such pause, well below the default deadline of an ask."""

    close_timeout_s: float = 0.5
    """How long the other side may take to confirm that a link is closed. Nothing depends on it."""

    log_every_s: float = 5.0
    """Rejected connections are logged at most once in this time, with their number."""
