"""The journal as tables that people can query: the schema ``booking_read``, kept by a consumer."""
