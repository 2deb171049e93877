"""Accounts and payments: balances, charges, the payment saga and the history of money."""
