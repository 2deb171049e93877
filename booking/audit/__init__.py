"""An independent book over the journal: does what was written keep the invariants?

It shares no decision code with the service, so that a mistake there is not repeated here.
:mod:`booking.audit.journal` leads the books of the subjects (``booking/*/audit.py``) over the rows.
See ``docs/how-to/audit.md``.
"""

from booking.audit.report import AuditReport, Verdict, Violation
from booking.audit.run import AuditError, run

__all__ = ["AuditError", "AuditReport", "Verdict", "Violation", "run"]
