"""SQL: transactions, migrations, claims on work, and the tables that services share."""
