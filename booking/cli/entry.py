"""Where the command `booking` begins: before anything is imported, which takes a second or so."""

import signal


def main() -> int:
    """Run the command. Ctrl-C while it is still being loaded ends it without a word."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not ignored
    if usual:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from booking.cli import main as command

    if usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return command.main()
