"""An independent book over the journal: does what was written keep the invariants?

The audit reads events by itself and shares no decision code with the service, so that a mistake
there is not repeated here. See ``docs/how-to/audit.md``. :mod:`booking.audit.events` and
:mod:`booking.audit.report` are what the books of the subjects share (``booking/*/audit.py``);
:mod:`booking.audit.journal` leads all of them over the rows, :mod:`booking.audit.run` reads those
from the databases, and :mod:`booking.audit.schedule` lets an instance do so now and then.
"""

from booking.audit.report import AuditReport, Verdict, Violation
from booking.audit.run import AuditError, run

__all__ = ["AuditError", "AuditReport", "Verdict", "Violation", "run"]
