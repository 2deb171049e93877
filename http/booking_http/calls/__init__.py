"""The calls of the contract, by subject: each module's ``routes()`` gives its rows of the table."""
