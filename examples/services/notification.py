"""*notification*: a mail for each payment, each refund and each admission.

``python -m examples.services.notification``; ``SMTP`` is the mail server's ``host:port``.

A mail cannot be in a transaction. A crash between the two sends it again, with the same Message-ID,
by which mail servers and programs drop it.
"""

from __future__ import annotations

import os
import smtplib
import sqlite3
from email.message import EmailMessage
from email.utils import format_datetime

from examples.services.inbox import CloudEvent, Service, run

FROM = "Booking <tickets@booking.example>"
TEXTS = {
    "booking.payment.completed.v1": (
        "Your seat {seatId}",
        "You paid {amount:,} won for seat {seatNumber} of {concertScheduleId}.",
    ),
    "booking.balance.refunded.v1": (
        "Your money is back",
        "Payment {paymentId} did not get its seat. {amount:,} won are in your balance again.",
    ),
    "booking.queue.admitted.v1": (
        "It is your turn",
        "You are inside, and may book until {expiresAt}.",
    ),
}
"""Subject and text of each."""


def mail_of(event: CloudEvent) -> EmailMessage:
    """The mail that tells of an event."""
    subject, text = TEXTS[event.type]
    mail = EmailMessage()
    mail["Message-ID"] = f"<{event.id}@booking.example>"
    mail["Date"] = format_datetime(event.time)
    mail["From"] = FROM
    # Users have ids and no addresses here. Yours may be in a directory of customers.
    mail["To"] = f"{event.data['userId']}@users.example"
    mail["Subject"] = subject.format(**event.data)
    mail.set_content(text.format(**event.data))
    return mail


def send(database: sqlite3.Connection, event: CloudEvent) -> None:
    """Hand the mail of an event to the server. If it is away or does not want it, which is an
    :class:`OSError`, the broker gives the event again later, and other mails go on."""
    host, _, port = os.environ.get("SMTP", "127.0.0.1:25").rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=10) as server:
        server.send_message(mail_of(event))


# One mail each time: what is sent is noted before the next one.
service = Service(name="notification", tables="", takes=dict.fromkeys(TEXTS, send), batch=1)

if __name__ == "__main__":
    run(service)
