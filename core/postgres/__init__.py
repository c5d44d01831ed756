"""Django's database backend for PostgreSQL, whose transactions know for whom they are done."""
